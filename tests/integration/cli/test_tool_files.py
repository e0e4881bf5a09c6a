"""`o tool` and `o sandbox replay`: a tool in a file, checked, run, recorded and run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from o_platform.cli.main import app
from o_platform.errors import OError

pytestmark = pytest.mark.integration
SOURCE = '''
from o_agent.sdk import tool
import random, time

@tool(grants=["o.sleep"])
def nap(seconds: float, label: str = "bed") -> dict:
    """Sleep a while.

    Args:
        seconds: how long.
    """
    import o
    print("sleeping in", label)
    o.sleep(seconds)
    return {"at": time.time(), "chance": random.random()}
'''


def _o(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_a_tool_is_checked_run_recorded_and_replayed(tmp_path: Path) -> None:
    file, record = tmp_path / "nap.py", tmp_path / "call.json"
    file.write_text(SOURCE)
    shown = _o("tool", "check", file)
    assert (shown.exit_code, "o.sleep" in shown.output) == (0, True)
    assert "seconds, label" in shown.output
    ran = _o("tool", "run", file, "--args", '{"seconds": 0.01}', "--record", record)
    assert ran.exit_code == 0, ran.output
    assert "sleeping in bed" in ran.output
    again = _o("sandbox", "replay", record)
    assert (again.exit_code, "the same as recorded" in again.output) == (0, True), again.output
    record.write_bytes(record.read_bytes().replace(b"sleeping in", b"dreaming in"))
    changed = _o("sandbox", "replay", record)
    assert (changed.exit_code, "not the same as recorded: stdout" in changed.output) == (1, True)

    script = tmp_path / "double.js"
    script.write_text("const double = ({ x }) => x * 2")
    ran = _o("tool", "run", script, "double", "--args", '{"x": 21}')
    assert (ran.exit_code, ran.output.splitlines()[0]) == (0, "42")
    failed = _o("tool", "run", script, "triple")
    assert (failed.exit_code, "defines no function triple" in failed.output) == (1, True)
    assert "✗ error" in failed.output


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("o.scratch.write(path='a')", "--grant scratch`"),
        ("o.http.fetch(url='https://a.example')", "--grant http.fetch:DOMAIN`"),
    ],
)
def test_what_a_denied_tool_asks_for_is_named(tmp_path: Path, call: str, hint: str) -> None:
    file = tmp_path / "f.py"
    file.write_text(f'import o\ndef f():\n    "Do."\n    {call}\n')
    ran = _o("tool", "run", file)
    assert (ran.exit_code, "✗ denied" in ran.output, hint in ran.output) == (1, True, True)
    allowed = _o("tool", "run", file, "--grant", "scratch")
    assert ("--grant scratch`" in allowed.output) is False


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tool", "check", "bad.py"), "bad.py: line 2: parameter 'x' of f needs a type hint"),
        (("tool", "check", "absent.py"), "absent.py cannot be read"),
        (("tool", "run", "nap.py", "--args", '{"seconds": "x"}'), "do not fit nap"),
        (("tool", "run", "nap.py", "--args", "[]"), "--args is no JSON object"),
        (("tool", "run", "nap.py", "--tier", "moon"), "no tier 'moon'"),
        (("tool", "run", "nap.py", "--args", '{"seconds": 0}', "--grant", "x"), "means nothing"),
        (
            ("tool", "run", "nap.py", "--args", '{"seconds": 0}', "--grant", "memory.read"),
            "a capability of an agent",
        ),
        (("tool", "run", "bad.txt", "f"), "ends in .py, .js, .wat, .wasm"),
        (("sandbox", "replay", "bad.py"), "no recording"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nap.py").write_text(SOURCE)
    Path("bad.py").write_text('\ndef f(x):\n    "Do it."\n')
    Path("bad.txt").write_text("")
    result = _o(*arguments)
    assert isinstance(result.exception, OError), result.output
    assert says in result.exception.message
