"""Calls of foreign code: core modules by the JSON ABI, components by their WIT, JavaScript.

An instance is made for each call and dropped after it, on the thread that runs the call: a core
module starts in some 50 µs.
"""

from __future__ import annotations

from typing import Final

import msgspec
import wasmtime

from o_sandbox.engine import abi, component_guest, epochs, preview1
from o_sandbox.engine import call as calls
from o_sandbox.engine.abi import AbiError
from o_sandbox.engine.call import Call
from o_sandbox.engine.ending import Ended, ended_by
from o_sandbox.engine.foreign import ForeignModules, InvalidModuleError
from o_sandbox.engine.guest_memory import BadPointerError, GuestMemory, unsigned
from o_sandbox.engine.quickjs_guest import ScriptGuests
from o_sandbox.engine.settings import EngineSettings

RUN: Final = "run"
INITIALIZE: Final = "_initialize"
_TOO_LARGE: Final = "memory has a minimum byte size"
_LIMITS: Final = {"instances": 200, "tables": 40, "table_elements": 60_000}


class ModuleGuests:
    """Runs foreign code, each call in an instance of its own."""

    def __init__(
        self, engine: wasmtime.Engine, settings: EngineSettings, scripts: ScriptGuests
    ) -> None:
        """`engine` compiles and runs."""
        self._engine, self._settings, self._scripts = engine, settings, scripts
        self._foreign = ForeignModules(engine)
        self._linker = wasmtime.Linker(engine)
        abi.define(self._linker)
        preview1.define(self._linker)

    def start(self) -> None:
        """Nothing: there is no telling what will be called."""

    def run(self, call: Call) -> Ended:
        """Run one call on this thread."""
        store = wasmtime.Store(self._engine)
        calls.set_current(call)
        try:
            epochs.watch(store)
            memory_bytes = min(call.run.limits.memory_bytes, self._settings.memory_bytes)
            store.set_limits(memory_size=memory_bytes, **_LIMITS)
            return self._ended(call, store)
        except TimeoutError:
            said = f"the module was not compiled within {call.run.limits.wall_s:g} s"
            return Ended("timeout", error=said)
        except (InvalidModuleError, AbiError) as error:
            return Ended("memory" if _TOO_LARGE in str(error) else "error", error=str(error))
        except BadPointerError as error:
            return Ended("trap", error=str(error))
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            return _explained(error, call)
        finally:
            calls.set_current(None)
            call.afterwards(store.close)

    def _ended(self, call: Call, store: wasmtime.Store) -> Ended:
        if call.run.language == "javascript":
            return self._scripts.run(call, store)
        made = self._foreign.compiled(call)
        if isinstance(made, wasmtime.Module):
            return self._core(call, store, made)
        return component_guest.run(self._engine, made, store, call)

    def _core(self, call: Call, store: wasmtime.Store, module: wasmtime.Module) -> Ended:
        exports = self._linker.instantiate(store, module).exports(store)
        initialize = exports.get(INITIALIZE)
        if isinstance(initialize, wasmtime.Func):
            initialize(store)
        memory = GuestMemory(store, abi.memory_of(exports.get(abi.MEMORY)))
        alloc = abi.function_of(exports.get(abi.ALLOC), abi.ALLOC, ("i32",), ("i32",))
        name = call.run.function if call.run.function in exports else RUN
        run = abi.function_of(exports.get(name), name, ("i32", "i32"), ("i64",))
        request = call.run.arguments.encode()
        address = unsigned(alloc(store, len(request)))
        memory.write(address, request)
        return _reply(call, memory, run(store, address, len(request)))


def _reply(call: Call, memory: GuestMemory, packed: int) -> Ended:
    address, size = unsigned(packed >> 32), unsigned(packed)
    limit = call.meter.limits.output_bytes
    if call.meter.stop is None and not call.meter.add_output(size):
        return Ended("output", error=f"more than {limit} bytes of output")
    if call.meter.stop is not None:
        return Ended(call.meter.stop.reason, error=call.meter.stop.sentence)
    content = memory.read(address, size)
    try:
        return Ended("ok", value=msgspec.json.decode(content) if content else None)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Ended("trap", error=f"the module's reply is no JSON: {error}")


def _explained(error: Exception, call: Call) -> Ended:
    text = str(error)
    if call.meter.stop is None and "implementation was not found" in text:
        return Ended("error", error=f"the component cannot be linked: {text.splitlines()[0]}")
    if call.meter.stop is None and "unknown import" in text:
        cause = text[text.index("unknown import") :].splitlines()[0]
        return Ended("error", error=f"the module cannot be linked: {cause}")
    if call.meter.stop is None and "memory" in text and "exceeds" in text:
        limit = call.meter.limits.memory_bytes
        return Ended("memory", error=f"the module wants more than {limit} bytes of memory")
    return ended_by(error, call.meter)
