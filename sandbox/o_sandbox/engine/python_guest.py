"""Calls of Python tools: the component that holds CPython, and what its replies mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import wasmtime
from wasmtime import component as wasm

from o_sandbox.engine import call as calls
from o_sandbox.engine import epochs, imports
from o_sandbox.engine.bytecode import Bytecode
from o_sandbox.engine.call import Call
from o_sandbox.engine.ending import Ended, ended_by
from o_sandbox.engine.pool import Pool
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.engine.text_function import TextFunction
from o_sandbox.limits import Limits

PACKAGES = "/packages"
_INSTANCES = 200
_TABLES = 40
_TABLE_ELEMENTS = 60_000
_KEPT_BYTECODE = 8 * 1024 * 1024
_USUAL_BYTES = Limits().memory_bytes
"""What instances that wait may have: most calls leave it at that."""


class PythonInstance:
    """One interpreter, for one call."""

    def __init__(
        self, store: wasmtime.Store, memory_bytes: int, run: TextFunction, compiled: TextFunction
    ) -> None:
        """Two exports of it, of which one is called, once.

        Args:
            store: it is alone in there.
            memory_bytes: the most memory that it may have.
            run: a request to what the guest answers.
            compiled: a tool's name and source to its bytecode, as `run` takes it.
        """
        self._store, self._memory_bytes = store, memory_bytes
        self.run, self.compiled = run, compiled

    def begin(self, memory_bytes: int) -> None:
        """Bound its memory, and have it looked at from now on, not from when it was made."""
        if memory_bytes != self._memory_bytes:
            _bound(self._store, memory_bytes)
        self._store.set_epoch_deadline(1)

    def close(self) -> None:
        """Give its memory back."""
        self._store.close()


class PythonGuests:
    """Runs Python tools, each in an interpreter that nobody used before."""

    def __init__(
        self, engine: wasmtime.Engine, component: wasm.Component, settings: EngineSettings
    ) -> None:
        """`component` was compiled for `engine`."""
        self._engine, self._component, self._settings = engine, component, settings
        self._linker = imports.linker(engine, component)
        self._run, self._compile, self._rehearse = (
            _exported(component, name) for name in ("run", "compile", "rehearse")
        )
        self._pool = Pool(self._make, settings.idle)
        self._bytecode = Bytecode(_KEPT_BYTECODE)

    def start(self) -> None:
        """Fill the pool."""
        self._pool.start()

    def run(self, call: Call) -> Ended:
        """Run one tool on this thread."""
        source = call.run.code.decode(errors="replace")
        try:
            request = self._request(call, source, self._compiled(call, source))
            reply = self._asked(call, lambda instance: instance.run(request))
        except wasmtime.WasmtimeError as error:
            return ended_by(error, call.meter)
        return Ended.from_reply(reply, call.meter)

    def _compiled(self, call: Call, source: str) -> str:
        """The tool's bytecode, made by an interpreter in which no tool has run."""
        name = call.run.name
        made = self._bytecode.get(name, source)
        if made is None:
            made = self._asked(call, lambda instance: instance.compiled(name, source))
            made = self._bytecode.keep(name, source, made)
        return made

    def _asked(self, call: Call, ask: Callable[[PythonInstance], str]) -> str:
        """What one that nobody used answers, under the limits of the call that this thread runs."""
        instance = self._pool.take()
        calls.set_current(call)
        try:
            instance.begin(min(call.run.limits.memory_bytes, self._settings.memory_bytes))
            return ask(instance)
        finally:
            calls.set_current(None)
            call.afterwards(partial(self._pool.retire, instance))

    def _request(self, call: Call, source: str, compiled: str) -> str:
        run = call.run
        request: dict[str, Any] = {
            "name": run.name,
            "code": source,
            "compiled": compiled,
            "function": run.function,
            "args": msgspec.Raw(run.arguments.encode()),
            "seed": call.chance.take(16).hex(),
            "path": [PACKAGES] if self._settings.packages else [],
        }
        return msgspec.json.encode(request).decode()

    def _make(self) -> PythonInstance:
        """One that has copied the memory a small call writes to: most of such a call's time."""
        store = wasmtime.Store(self._engine)
        store.set_wasi(self._wasi())
        epochs.watch(store)
        memory_bytes = min(_USUAL_BYTES, self._settings.memory_bytes)
        _bound(store, memory_bytes)
        instance = self._linker.instantiate(store, self._component)
        run, compiled, rehearse = (
            TextFunction(store, _function(instance, store, export), takes)
            for export, takes in ((self._run, 1), (self._compile, 2), (self._rehearse, 1))
        )
        call = calls.rehearsal()
        calls.set_current(call)
        try:
            rehearse(self._request(call, "", ""))
        finally:
            calls.set_current(None)
        return PythonInstance(store, memory_bytes, run, compiled)

    def _wasi(self) -> wasmtime.WasiConfig:
        wasi = wasmtime.WasiConfig()
        if self._settings.packages:
            wasi.preopen_dir(str(Path(self._settings.packages)), PACKAGES, fs_mutable=False)
        return wasi


def _bound(store: wasmtime.Store, memory_bytes: int) -> None:
    store.set_limits(
        memory_size=memory_bytes, instances=_INSTANCES, tables=_TABLES,
        table_elements=_TABLE_ELEMENTS,
    )  # fmt: skip


def _exported(component: wasm.Component, name: str) -> wasm.ExportIndex:
    index = component.get_export_index(name)
    if index is None:
        raise ValueError(f"the component has no function `{name}`")
    return index


def _function(
    instance: wasm.Instance, store: wasmtime.Store, export: wasm.ExportIndex
) -> wasm.Func:
    function = instance.get_func(store, export)
    if function is None:
        raise ValueError("the component exports something that is no function")
    return function
