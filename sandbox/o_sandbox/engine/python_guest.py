"""Calls of Python tools: the component that holds CPython, and what its replies mean."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import wasmtime
from wasmtime import component as wasm

from o_sandbox.engine import call as calls
from o_sandbox.engine import epochs, imports
from o_sandbox.engine.call import Call
from o_sandbox.engine.ending import Ended, ended_by
from o_sandbox.engine.pool import Pool
from o_sandbox.engine.settings import EngineSettings

PACKAGES = "/packages"
_INSTANCES = 200
_TABLES = 40
_TABLE_ELEMENTS = 60_000


class PythonInstance:
    """One interpreter, for one call."""

    def __init__(self, store: wasmtime.Store, function: wasm.Func) -> None:
        """`function`: the export `run`."""
        self.store, self._function = store, function

    def call(self, request: str) -> str:
        """What the guest answers.

        Raises:
            WasmtimeError: it was stopped, or stopped itself.
        """
        reply: str = self._function(self.store, request)
        return reply

    def close(self) -> None:
        """Give its memory back."""
        self.store.close()


class PythonGuests:
    """Runs Python tools, each in an interpreter that nobody used before."""

    def __init__(
        self, engine: wasmtime.Engine, component: wasm.Component, settings: EngineSettings
    ) -> None:
        """`component` was compiled for `engine`."""
        self._engine, self._component, self._settings = engine, component, settings
        self._linker = imports.linker(engine, component)
        export = component.get_export_index("run")
        if export is None:
            raise ValueError("the component has no function `run`")
        self._export = export
        self._pool = Pool(self._make, settings.idle)
        self._making = threading.Lock()

    def start(self) -> None:
        """Fill the pool."""
        self._pool.start()

    def run(self, call: Call) -> Ended:
        """Run one tool on this thread."""
        instance = self._pool.take()
        try:
            instance.store.set_limits(
                memory_size=min(call.run.limits.memory_bytes, self._settings.memory_bytes),
                instances=_INSTANCES, tables=_TABLES, table_elements=_TABLE_ELEMENTS,
            )  # fmt: skip
            instance.store.set_epoch_deadline(1)
            return self._answered(instance, call)
        finally:
            self._pool.retire(instance)

    def _answered(self, instance: PythonInstance, call: Call) -> Ended:
        calls.set_current(call)
        try:
            reply = instance.call(self._request(call))
        except wasmtime.WasmtimeError as error:
            return ended_by(error, call.meter)
        finally:
            calls.set_current(None)
        return Ended.from_reply(reply, call.meter)

    def _request(self, call: Call) -> str:
        run = call.run
        request: dict[str, Any] = {
            "name": run.name,
            "code": run.code.decode(errors="replace"),
            "function": run.function,
            "args": msgspec.Raw(run.arguments.encode()),
            "seed": call.chance.take(16).hex(),
            "path": [PACKAGES] if self._settings.packages else [],
        }
        return msgspec.json.encode(request).decode()

    def _make(self) -> PythonInstance:
        store = wasmtime.Store(self._engine)
        store.set_wasi(self._wasi())
        epochs.watch(store)
        instance = self._linker.instantiate(store, self._component)
        function = instance.get_func(store, self._export)
        if function is None:
            raise ValueError("the component has no function `run`")
        return PythonInstance(store, function)

    def _wasi(self) -> wasmtime.WasiConfig:
        wasi = wasmtime.WasiConfig()
        if self._settings.packages:
            wasi.preopen_dir(str(Path(self._settings.packages)), PACKAGES, fs_mutable=False)
        return wasi
