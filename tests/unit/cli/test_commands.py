"""Every command documents itself, and none is slow to say so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from o_platform.cli.main import app

pytestmark = pytest.mark.unit


def command_paths() -> Iterator[tuple[str, ...]]:
    yield ()
    pending = [((), get_command(app))]
    while pending:
        path, command = pending.pop()
        for name, child in getattr(command, "commands", {}).items():
            yield (*path, name)
            pending.append(((*path, name), child))


def find(path: tuple[str, ...]) -> typer.core.TyperCommand:
    command = get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    return command  # type: ignore[return-value]


@pytest.mark.parametrize("path", list(command_paths()), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize("path", list(command_paths()), ids=" ".join)
def test_every_command_says_what_it_does_with_an_example(path: tuple[str, ...]) -> None:
    command = find(path)
    assert command.help
    if not hasattr(command, "commands"):
        assert "Example" in (command.epilog or "")
        assert all(getattr(parameter, "help", None) for parameter in command.params)


def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys, o_platform.cli.main\n"
        "heavy = {'sqlalchemy', 'httpx', 'pydantic_settings', 'docker', 'alembic', 'psycopg'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def o(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "o_platform.cli.main", *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", **environ},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_bad_setting_is_named_without_a_traceback(tmp_path) -> None:
    result = o("status", O_HOME=str(tmp_path), O_LIMITS__PIDS="many")
    assert result.returncode == 1
    assert "O_LIMITS__PIDS" in result.stderr
    assert "'many'" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in o("status", O_LIMITS__PIDS="many", O_DEBUG="1").stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("O_LISTEN", "8283", "HOST:PORT"),
        ("O_LISTEN", "127.0.0.1:99999", "HOST:PORT"),
        ("O_LIMITS__MEMORY_BYTES", "1", "greater than or equal"),
        ("O_LLM_TIMEOUT_S", "0", "greater than 0"),
        ("O_LLM_BASE_URLS", "http://localhost", "is not JSON"),
    ],
)
def test_a_value_out_of_range_is_refused(tmp_path, variable: str, value: str, said: str) -> None:
    result = o("status", O_HOME=str(tmp_path), **{variable: value})
    assert result.returncode == 1
    assert variable in result.stderr
    assert said in result.stderr


def test_commands_say_when_the_platform_does_not_run(tmp_path) -> None:
    home = {"O_HOME": str(tmp_path), "O_RUN_DIR": str(tmp_path / "r")}
    status = o("status", **home)
    assert status.returncode == 3
    assert "does not run; start it with `o up`" in status.stdout
    assert o("down", **home).returncode == 0
    for command in (("keys", "list"), ("variant", "list"), ("rollout", "status"), ("restart", "x")):
        result = o(*command, **home)
        assert result.returncode == 1
        assert "o up" in result.stderr
        assert "Traceback" not in result.stderr


def test_unknown_commands_and_options_are_usage_errors() -> None:
    assert o("dance").returncode == 2
    assert o("up", "--sideways").returncode == 2
    assert o("evolve").returncode == 2


def test_version() -> None:
    assert o("version").stdout.strip() == "0.1.0"
