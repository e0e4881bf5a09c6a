"""The scratch folder where a tier has one: by `open` and `os` in Python, by calls elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.module import ModuleSandbox
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import Grants, Sandbox
from o_sandbox.recording import differences, record, replay
from o_sandbox.tool import Language, Tool
from o_sandbox.wasm import WasmSandbox

pytestmark = pytest.mark.contract

FILES = """
import gzip, os, pathlib, shutil, tarfile, tempfile, zipfile
def f():
    seen = []
    with open("/scratch/a.txt", "w") as file:
        file.write("grüße\\nzwei\\n")
    with open("/scratch/a.txt", "a") as file:
        print("drei", file=file)
    seen.append([line for line in open("/scratch/a.txt")])
    folder = pathlib.Path("/scratch/d/e")
    folder.mkdir(parents=True)
    (folder / "x.bin").write_bytes(bytes(range(256)) * 4000)
    seen.append(len((folder / "x.bin").read_bytes()) == folder.joinpath("x.bin").stat().st_size)
    with zipfile.ZipFile("/scratch/z.zip", "w") as archive:
        archive.writestr("inner", "zipped")
    seen.append(zipfile.ZipFile("/scratch/z.zip").read("inner").decode())
    with gzip.open("/scratch/g.gz", "wt") as file:
        file.write("zipped too")
    seen.append(gzip.open("/scratch/g.gz", "rt").read())
    with tarfile.open("/scratch/t.tar.gz", "w:gz") as archive:
        archive.add("/scratch/d", "d")
    seen.append(tarfile.open("/scratch/t.tar.gz").getnames())
    with tempfile.TemporaryDirectory() as made, tempfile.NamedTemporaryFile("w+") as file:
        file.write("for now")
        file.seek(0)
        seen.append([file.read(), os.path.isdir(made), os.listdir(made)])
    with tempfile.TemporaryFile() as nameless:
        seen.append(nameless.write(b"abc"))
    seen.append([os.path.exists(path) for path in (made, file.name)])
    with open("/scratch/a.txt", "r+b") as file:
        file.seek(2)
        file.write(b"ZZ")
        file.truncate(5)
    shutil.copy("/scratch/a.txt", "/scratch/b.txt")
    shutil.rmtree("/scratch/d")
    os.rename("/scratch/b.txt", "/scratch/c.txt")
    seen.append(open("/scratch/c.txt", "rb").read().hex())
    seen.append(sorted(os.listdir("/scratch")))
    return seen
"""
REFUSED = """
import os
def f():
    open("/scratch/a", "w").close()
    os.mkdir("/scratch/d")
    seen = []
    for path, mode in (("/scratch/none", "r"), ("/scratch/a", "x"), ("/scratch/a/b", "w"),
                       ("/scratch/d", "r"), ("/scratch/../etc/passwd", "r"), ("/etc/passwd", "r")):
        try:
            open(path, mode)
        except OSError as error:
            seen.append(type(error).__name__)
    try:
        with open("/scratch/large", "wb") as file:
            file.write(bytes(3 << 20))
    except OSError as error:
        seen.append(os.strerror(error.errno) and error.errno == __import__("errno").ENOSPC)
    return seen
"""
SCRIPT = """
function f() {
  o.scratch.write({ path: "a", content: "grüße" })
  o.scratch.append({ path: "a", content: "!" })
  let refused
  try { o.scratch.read({ path: "../a" }) } catch (error) { refused = error.message }
  return [o.scratch.read({ path: "a" }), o.call("scratch.list", { path: "" }), refused]
}
"""
MODULE = """
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "scratch.write")
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "f") (param i32 i32) (result i64)
    (call $call (i32.const 0) (i32.const 13) (local.get 0) (local.get 1))))
"""


async def _unused(_arguments: Mapping[str, Any]) -> None:
    raise AssertionError("the engine answers for the folder")


GRANT: Grants = {"scratch": _unused}


@pytest.fixture(scope="module")
def tiers(engine: EngineKeeper, modules: EngineKeeper) -> Mapping[str, Sandbox]:
    return {
        "wasm": WasmSandbox(paths=[engine.path]),
        "module": ModuleSandbox(paths=[modules.path]),
    }


async def _run(
    tiers: Mapping[str, Sandbox],
    code: str,
    language: Language = "python",
    grants: Grants = GRANT,
    **args: Any,
) -> Outcome:
    limits = Limits(wall_s=30, cpu_s=20, scratch_bytes=2 << 20)
    sandbox = tiers["wasm" if language == "python" else "module"]
    outcome = await sandbox.run(Tool("f", code, "f", language), args, limits, grants)
    await sandbox.close()
    return outcome


async def test_python_finds_files_by_what_is_built_on_them(
    tiers: Mapping[str, Sandbox],
) -> None:
    outcome = await _run(tiers, FILES)
    assert outcome.is_ok, outcome.error
    assert outcome.value == [
        ["grüße\n", "zwei\n", "drei\n"], True, "zipped", "zipped too",
        ["d", "d/e", "d/e/x.bin"], ["for now", True, []], 3, [False, False],
        b"gr\x5a\x5a\xc3".hex(), ["a.txt", "c.txt", "g.gz", "t.tar.gz", "z.zip"],
    ]  # fmt: skip
    assert (outcome.used.host_calls, outcome.calls) == (0, [])
    empty = await _run(tiers, "import os\ndef f():\n    return os.listdir('/scratch')")
    assert empty.value == [], "the folder of a call is gone with it"


async def test_what_goes_wrong_with_a_file_is_an_error_of_python(
    tiers: Mapping[str, Sandbox],
) -> None:
    outcome = await _run(tiers, REFUSED)
    assert outcome.value == [
        "FileNotFoundError", "FileExistsError", "NotADirectoryError", "IsADirectoryError",
        "FileNotFoundError", "FileNotFoundError", True,
    ], outcome  # fmt: skip


async def test_other_languages_call_for_it(tiers: Mapping[str, Sandbox]) -> None:
    outcome = await _run(tiers, SCRIPT, "javascript")
    above = "EACCES: that lies outside the scratch folder"
    assert outcome.value == ["grüße!", ["a"], above], outcome
    by_abi = await _run(tiers, MODULE, "wat", path="a", content="abc")
    assert by_abi.value == {"ok": 3}, by_abi


@pytest.mark.parametrize(
    ("code", "language"),
    [("def f():\n    open('/scratch/a', 'w')", "python"), (SCRIPT, "javascript")],
)
async def test_without_the_grant_it_is_denied_by_name(
    tiers: Mapping[str, Sandbox], code: str, language: Language
) -> None:
    outcome = await _run(tiers, code, language, {})
    assert (outcome.reason, "`scratch`" in outcome.error) == ("denied", True), outcome
    assert [(call.name, call.outcome) for call in outcome.calls] == [("scratch", "denied")]


async def test_a_recorded_call_with_files_replays(tiers: Mapping[str, Sandbox]) -> None:
    tool = Tool("f", FILES, "f")
    made = await record(tiers["wasm"], tool, {}, Limits(wall_s=30, cpu_s=20), GRANT)
    again = await replay(tiers["wasm"], made)
    await tiers["wasm"].close()
    assert made.outcome.is_ok, made.outcome
    assert differences(made.outcome, again) == []
