"""What the tier `module` owes its callers, in every language that it runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.module import MAX_CODE_BYTES, ModuleSandbox
from o_sandbox.outcome import Outcome, Reason
from o_sandbox.protocol import Grants, HostCallError
from o_sandbox.tool import Language, Tool

pytestmark = pytest.mark.contract

ABI = """
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (import "o" "fail" (func $fail (param i32 i32)))
  (import "o" "now" (func $now (result i64)))
  (import "o" "random" (func $random (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "add")
  (global $free (mut i32) (i32.const 1024))
  (func (export "alloc") (param i32) (result i32) (local i32)
    (local.set 1 (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get 0)))
    (local.get 1))
  (func (export "ask") (param i32 i32) (result i64)
    (call $call (i32.const 0) (i32.const 3) (local.get 0) (local.get 1)))
  (func (export "ask_twice") (param i32 i32) (result i64)
    (drop (call $call (i32.const 0) (i32.const 3) (local.get 0) (local.get 1)))
    (call $call (i32.const 0) (i32.const 3) (local.get 0) (local.get 1)))
  (func (export "echo") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32))
            (i64.extend_i32_u (local.get 1))))
  (func (export "refuse") (param i32 i32) (result i64)
    (call $fail (i32.const 0) (i32.const 3)) (i64.const 0))
  (func (export "spin") (param i32 i32) (result i64) (loop $on (br $on)) (unreachable))
  (func (export "nothing") (param i32 i32) (result i64) (i64.const 0))
  (func (export "wrong") (param i32) (result i64) (i64.const 0)))
"""
COMPONENT = """
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32)
      (i32.add (local.get 0) (local.get 1)))
    (func (export "same") (param i32 i32) (result i32)
      (i32.store (i32.const 8) (local.get 0)) (i32.store (i32.const 12) (local.get 1))
      (i32.const 8))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "add-two") (param "left" s32) (param "right-one" s32) (result s32)
    (canon lift (core func $i "add")))
  (func (export "same") (param "text" string) (result string)
    (canon lift (core func $i "same") (memory $memory) (realloc $realloc))))
"""


MANY = """
(component
  (core module $m
    (memory (export "memory") 2)
    (func (export "f") (result i32) (local $n i32)
      (memory.fill (i32.const 65536) (i32.const 9) (i32.const 65536))
      (loop $on
        (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $n) (i32.const 8)))
          (i32.const 65536))
        (i32.store (i32.add (i32.const 1028) (i32.mul (local.get $n) (i32.const 8)))
          (i32.const {size}))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $on (i32.lt_u (local.get $n) (i32.const {count}))))
      (i32.store (i32.const 0) (i32.const 16))  ;; the outer list: one record at 16
      (i32.store (i32.const 4) (i32.const 1))
      (i32.store (i32.const 20) (i32.const 1024))
      (i32.store (i32.const 24) (i32.const {count}))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (type $record (record (field "ok" (option u8)) (field "bytes" (list (list u8)))))
  (export $r "reply" (type $record))
  (func $f (result (list $r)) (canon lift (core func $i "f") (memory $memory)))
  (export "f" (func $f)))
"""


@pytest.fixture
async def sandbox(modules: EngineKeeper) -> AsyncIterator[ModuleSandbox]:
    made = ModuleSandbox(paths=[modules.path])
    await made.start()
    yield made
    await made.close()


async def _add(arguments: Mapping[str, Any]) -> Any:
    if arguments["a"] < 0:
        raise HostCallError("no number below 0")
    return arguments["a"] + arguments["b"]


async def _run(
    sandbox: ModuleSandbox,
    code: str | bytes,
    function: str,
    language: Language = "javascript",
    args: Mapping[str, Any] = {"x": 4},
    grants: Grants | None = None,
    **limits: Any,
) -> Outcome:
    tool = Tool("t", code, function, language, "module")
    return await sandbox.run(tool, args, Limits(**{"wall_s": 30.0, **limits}), grants or {})


async def test_javascript_returns_prints_and_calls_its_host(sandbox: ModuleSandbox) -> None:
    code = """
        const twice = (number) => number * 2
        async function f({ x }) {
          console.log("four", x, { a: "ü" })
          let refused
          try { o.call("add", { a: -1, b: 0 }) }
          catch (error) { refused = `${error.name}: ${error.message}` }
          const sum = await o.call("add", { a: twice(x), b: 1 })
          return { sum, refused, all: [1.5, null, "€😀"] }
        }
    """
    outcome = await _run(sandbox, code, "f", grants={"add": _add})
    assert outcome.reason == "ok", outcome.error
    refused = "HostError: no number below 0"
    assert outcome.value == {"sum": 9, "refused": refused, "all": [1.5, None, "€😀"]}
    assert outcome.stdout == 'four 4 {"a":"ü"}\n'
    assert [call.outcome for call in outcome.calls] == ["error", "ok"]
    assert outcome.used.host_calls == 2


@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        ("function f() {\n  return nope\n}", "error", "tool.js:2"),
        ("function f( {", "error", "SyntaxError"),
        ("function g() {}", "error", "no function f"),
        ("function f() { for (;;); }", "timeout", "CPU"),
        ("function f() { const l = []; for (;;) l.push(new Uint8Array(1e6)) }", "memory", "memory"),
        ("function f() { for (let i = 0; i < 1e5; i++) print('abcdefgh') }", "output", "bytes"),
        ("function f() { return 'a'.repeat(1e5) }", "output", "bytes"),
        ("function f() { try { o.call('absent') } catch {} }", "denied", "absent"),
        ("function f() { return f() }", "error", "RangeError"),
        ("const f = async () => (await import('qjs:os')).sleep(9e9)", "denied", "o.sleep"),
        ("const f = async () => (await import('qjs:std')).exit(3)", "trap", "status 3"),
    ],
)
async def test_each_end_of_a_script_has_its_reason(
    sandbox: ModuleSandbox, code: str, reason: Reason, says: str
) -> None:
    outcome = await _run(sandbox, code, "f", cpu_s=0.5, output_bytes=20_000)
    assert (outcome.reason, outcome.value) == (reason, None), outcome
    assert says in outcome.error
    assert (await _run(sandbox, "const f = ({ x }) => x", "f")).value == 4


async def test_scripts_have_no_files_and_leave_nothing_behind(sandbox: ModuleSandbox) -> None:
    opens = "const f = async () => (await import('qjs:os')).open('/etc/passwd', 0)"
    assert (await _run(sandbox, opens, "f")).value < 0
    leaves = "function f() { globalThis.seen = (globalThis.seen ?? 0) + 1; return seen }"
    assert [(await _run(sandbox, leaves, "f")).value for _ in range(2)] == [1, 1]
    chance = "const f = () => [Math.random(), Math.random()]"
    first, second = [(await _run(sandbox, chance, "f")).value for _ in range(2)]
    assert len({*first, *second}) == 4


@pytest.mark.parametrize(
    ("function", "grants", "reason", "value_or_text"),
    [
        ("echo", {}, "ok", {"a": 1, "b": 2}),
        ("ask", {"add": _add}, "ok", {"ok": 3}),
        ("nothing", {}, "ok", None),
        ("ask", {}, "denied", "`add`"),
        ("ask_twice", {"add": _add}, "denied", "more than 1 times"),
        ("refuse", {}, "error", "add"),
        ("spin", {}, "timeout", "CPU"),
        ("wrong", {}, "error", "is not `wrong(i32, i32) -> i64`"),
        ("absent", {}, "error", "exports no function `run(i32, i32) -> i64`"),
    ],
)
async def test_modules_by_the_json_abi(
    sandbox: ModuleSandbox, function: str, grants: Grants, reason: Reason, value_or_text: Any
) -> None:
    args = {"a": 1, "b": 2}
    outcome = await _run(sandbox, ABI, function, "wat", args, grants, cpu_s=0.3, host_calls=1)
    assert outcome.reason == reason, outcome
    assert outcome.value == value_or_text if reason == "ok" else value_or_text in outcome.error


@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        ("(module (nonsense))", "error", "1:10"),
        ('(module (import "env" "f" (func)))', "error", "unknown import: `env::f`"),
        ("(module)", "error", "no memory named `memory`"),
        ('(module (memory (export "memory") 9000))', "memory", "memory"),
        ('(module (memory (export "memory") 3000))', "memory", "more than"),
        (
            '(module (memory (export "memory") 1) (start $s) (func $s unreachable))',
            "trap",
            "unreach",
        ),
        (b"\0asm\1\0\0\0\1", "error", "not valid"),
    ],
)
async def test_a_bad_module_is_refused_with_the_cause(
    sandbox: ModuleSandbox, code: str | bytes, reason: Reason, says: str
) -> None:
    outcome = await _run(sandbox, code, "f", "wat" if isinstance(code, str) else "wasm")
    assert outcome.reason == reason, outcome
    assert says in outcome.error


async def test_components_take_arguments_by_the_names_of_their_wit(sandbox: ModuleSandbox) -> None:
    async def run(function: str, **args: Any) -> Outcome:
        return await _run(sandbox, COMPONENT, function, "component", args)

    assert (await run("add_two", left=2, right_one=40)).value == 42
    assert (await run("same", text="grüße")).value == "grüße"
    missing, wrong, strange = (
        await run("add_two", left=2),
        await run("same", text=3),
        await run("same", text="", more=1),
    )
    assert "'right-one' is missing" in missing.error
    assert "expected str" in wrong.error
    assert "no argument 'more'" in strange.error
    assert {missing.reason, wrong.reason, strange.reason} == {"error"}


async def test_a_component_s_value_is_counted_before_it_is_made(sandbox: ModuleSandbox) -> None:
    small = await _run(sandbox, MANY.format(count=2, size=3), "f", "component", {})
    assert small.value == [{"ok": None, "bytes": [[9, 9, 9], [9, 9, 9]]}]
    # One page of memory, named so often that objects for it would take the engine a second.
    large = await _run(sandbox, MANY.format(count=14, size=65536), "f", "component", {}, cpu_s=0.6)
    assert (large.reason, large.value) == ("output", None), large
    assert large.used.cpu_s < 0.6


async def test_a_component_that_wants_more_than_there_is_is_told_so(sandbox: ModuleSandbox) -> None:
    strange = '(component (import "a:b/c@1.0.0" (instance (export "d" (func)))))'
    outcome = await _run(sandbox, strange, "f", "component", {})
    assert (outcome.reason, "`a:b/c@1.0.0`" in outcome.error) == ("error", True), outcome


async def test_calls_run_side_by_side_and_stop_with_their_caller(sandbox: ModuleSandbox) -> None:
    gate = asyncio.Barrier(2)
    begun = asyncio.Event()

    async def meet(_arguments: Mapping[str, Any]) -> bool:
        await gate.wait()
        return True

    async def begin(_arguments: Mapping[str, Any]) -> None:
        begun.set()

    code = "const f = () => o.call('meet')"
    ends = await asyncio.gather(*(_run(sandbox, code, "f", grants={"meet": meet}) for _ in "ab"))
    assert [end.value for end in ends] == [True, True]
    code = "function f() { o.call('begin'); for (;;); }"
    call = asyncio.create_task(_run(sandbox, code, "f", grants={"begin": begin}, cpu_s=20))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await _run(sandbox, "const f = () => 1", "f")).value == 1


async def test_the_examples_do_what_they_say(sandbox: ModuleSandbox, tmp_path: Path) -> None:
    examples = Path(str(files("o_sandbox").joinpath("examples")))
    outcome = await _run(
        sandbox, (examples / "sum.wat").read_text(), "sum", "wat", {"text": "1 and 29"}
    )
    assert (outcome.value, outcome.stdout) == (12, '{"text":"1 and 29"}')

    async def name(_arguments: Mapping[str, Any]) -> str:
        return "ada"

    built = _built_c(examples / "shout.c", tmp_path)
    outcome = await _run(sandbox, built, "shout", "wasm", {"text": "hi"}, {"name": name})
    assert outcome.value == [{"OK": "ADA"}, {"TEXT": "HI"}], outcome
    long = await _run(sandbox, built, "shout", "wasm", {"text": "h" * 70_000}, {"name": name})
    assert (long.reason, long.error) == ("error", "the arguments are too long")


async def test_what_is_no_module_is_a_caller_s_mistake(sandbox: ModuleSandbox) -> None:
    with pytest.raises(ValueError, match="runs no Python"):
        await _run(sandbox, "", "f", "python")
    with pytest.raises(ValueError, match="are the most"):
        await _run(sandbox, bytes(MAX_CODE_BYTES + 1), "f", "wasm")


def _built_c(source: Path, folder: Path) -> bytes:
    """The example as a compiler makes it; its cache is in `folder`, too."""
    target = folder / "shout.wasm"
    flags = ["--target=wasm32-freestanding", "-nostdlib", "-O2", "-Wl,--no-entry"]
    command = [sys.executable, "-m", "ziglang", "cc", *flags, "-o", str(target), str(source)]
    caches = {name: str(folder) for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    subprocess.run(command, check=True, env={**os.environ, **caches}, cwd=folder)
    return target.read_bytes()
