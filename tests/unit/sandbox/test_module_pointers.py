"""A module that lies about addresses and lengths: the call traps, nothing outside is touched."""

from __future__ import annotations

import ctypes
import time
from typing import Any, Final

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from o_sandbox.engine import configuration
from o_sandbox.engine.call import Call, Caller
from o_sandbox.engine.ending import Ended
from o_sandbox.engine.guest_memory import BadPointerError, GuestMemory
from o_sandbox.engine.meter import Meter
from o_sandbox.engine.module_guest import ModuleGuests
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.limits import Limits
from o_sandbox.wire import Answer, Output, Run

pytestmark = pytest.mark.unit
PAGE: Final = 65536
CORNERS: Final = (0, 1, 1023, PAGE - 1, PAGE, PAGE + 1, 2**31 - 1, 2**31, 2**32 - PAGE, 2**32 - 1)
anywhere: Final = st.one_of(
    st.sampled_from(CORNERS), st.integers(0, 2 * PAGE), st.integers(0, 2**32 - 1)
)
OPERATIONS: Final = {
    "reply": "",
    "print": "(call $print (i32.const 1) {p} {n})",
    "fail": "(call $fail {p} {n})",
    "random": "(call $random {p} {n})",
    "name": "(drop (call $call {p} {n} (i32.const 0) (i32.const 2)))",
    "arguments": "(drop (call $call (i32.const 0) (i32.const 1) {p} {n}))",
    "piece": "(i32.store (i32.const 16) {p}) (i32.store (i32.const 20) {n})"
    "(drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))",
    "pieces": "(drop (call $write (i32.const 1) {p} {n} (i32.const 24)))",
    "written": "(drop (call $write (i32.const 1) (i32.const 16) (i32.const 0) {p}))",
    "time": "(drop (call $time (i32.const 0) (i64.const 0) {p}))",
    "answer": "(global.set $free {p}) (drop (call $call (i32.const 0) (i32.const 1) "
    "(i32.const 2) (i32.const 2)))",
}
MODULE: Final = """
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (import "o" "print" (func $print (param i32 i32 i32)))
  (import "o" "fail" (func $fail (param i32 i32)))
  (import "o" "random" (func $random (param i32 i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1 1)
  (data (i32.const 0) "x {}")
  (global $free (mut i32) (i32.const 1024))
  (func (export "alloc") (param i32) (result i32) (global.get $free))
  (func (export "run") (param i32 i32) (result i64)
    OPERATION
    (i64.or (i64.shl (i64.extend_i32_u P) (i64.const 32)) (i64.extend_i32_u N))))
"""


@pytest.fixture(scope="module")
def guests() -> ModuleGuests:
    engine = configuration.engine(2, 1 << 20, foreign=True)
    without_scripts: Any = None
    return ModuleGuests(engine, EngineSettings(cache="", memory_bytes=1 << 20), without_scripts)


def _ended(guests: ModuleGuests, code: str) -> tuple[Ended, list[Output]]:
    run = Run("t", "wat", code.encode(), "run", "{}", Limits(output_bytes=100), b"", time.time_ns())
    heard: list[Output] = []
    caller = Caller(heard.append, lambda _, __: Answer(True, "1"), lambda: False)
    call = Call(run, Meter(run.limits, lambda: False, lambda: 0), caller)
    try:
        return guests.run(call), heard
    finally:
        call.leave()  # gives its instance back: the engine has room for two


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(OPERATIONS)), anywhere, anywhere)
def test_lies_trap_and_truths_do_not(
    guests: ModuleGuests, operation: str, pointer: int, length: int
) -> None:
    place = {"p": f"(i32.const {pointer})", "n": f"(i32.const {length})"}
    body = OPERATIONS[operation].format(**place)
    reply = (pointer, length) if operation == "reply" else (0, 0)
    code = MODULE.replace("OPERATION", body)
    code = code.replace("P)", f"(i32.const {reply[0]}))").replace("N)", f"(i32.const {reply[1]}))")
    ended, heard = _ended(guests, code)
    needed = {"pieces": 8 * length, "written": 4, "time": 8, "answer": 8}.get(operation, length)
    is_inside = pointer + needed <= PAGE or (operation == "pieces" and length == 0)
    if not is_inside:
        expected = ("trap", "output") if operation == "reply" else ("trap",)
        assert ended.reason in expected, ended
        assert not heard
    elif operation != "pieces":  # a vector in the memory may still list places outside
        assert "named" not in ended.error, ended


@pytest.mark.parametrize("address", [2**32 - 1, PAGE, PAGE - 1])
def test_an_alloc_that_lies_traps(guests: ModuleGuests, address: int) -> None:
    lying = f"(global $free (mut i32) (i32.const {address}))"
    code = MODULE.replace("(global $free (mut i32) (i32.const 1024))", lying)
    code = code.replace("OPERATION", "").replace("P)", "(i32.const 0))")
    ended, _ = _ended(guests, code.replace("N)", "(i32.const 0))"))
    assert (ended.reason, "named 2 bytes" in ended.error) == ("trap", True)


class _Memory:
    """Bytes in place of a module's memory."""

    def __init__(self, content: bytes) -> None:
        self.content = (ctypes.c_ubyte * len(content)).from_buffer_copy(content)

    def data_len(self, _store: Any) -> int:
        return len(self.content)

    def data_ptr(self, _store: Any) -> Any:
        return ctypes.cast(self.content, ctypes.POINTER(ctypes.c_ubyte))


@given(
    st.binary(min_size=1, max_size=64),
    st.integers(-(2**32), 2**33),
    st.integers(-5, 70),
    st.binary(max_size=70),
)
def test_reads_and_writes_are_those_of_a_slice_or_refused(
    content: bytes, pointer: int, length: int, given: bytes
) -> None:
    double: Any = _Memory(content)
    memory = GuestMemory(None, double)
    start = pointer % 2**32
    if 0 <= length and start + length <= len(content):
        assert memory.read(pointer, length) == content[start : start + length]
    else:
        with pytest.raises(BadPointerError, match="named"):
            memory.read(pointer, length)
    if start + len(given) <= len(content):
        memory.write(pointer, given)
        assert bytes(double.content) == content[:start] + given + content[start + len(given) :]
    else:
        with pytest.raises(BadPointerError):
            memory.write(pointer, given)
        assert bytes(double.content) == content


def test_the_wrapped_memory_is_the_module_s() -> None:
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, 1)))
    GuestMemory(store, memory).write(PAGE - 2, b"ok")
    assert memory.read(store, PAGE - 2, PAGE) == b"ok"
