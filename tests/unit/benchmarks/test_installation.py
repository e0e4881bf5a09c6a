"""A benchmark's platform is set up by itself, not by what its caller's shell is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from o_benchmarks.demo.installation import Installation, IsolatedSettings, isolated_environment
from o_platform.settings import Settings

pytestmark = pytest.mark.unit
CALLERS = {
    "O_HOME": "/elsewhere",
    "O_RUN_DIR": "/x",
    "O_LISTEN": "0.0.0.0:1",
    "O_MAX_BODY_BYTES": "not a number",
    "O_LIMITS__CPUS": "none",
    "O_DATABASE_URL": "postgresql://other",
    "DATABASE_URL": "postgresql://other",
    "o_log_level": "debug",
}


def test_nothing_of_the_callers_platform_is_inherited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in CALLERS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", "stays")

    installation = Installation(tmp_path / "h", tmp_path / "script.yaml")

    environment = installation.environment
    assert environment["O_HOME"] == str(tmp_path / "h")
    assert environment["O_LISTEN"] == f"127.0.0.1:{installation.port}"
    assert CALLERS.keys() & environment.keys() == {"O_HOME", "O_LISTEN"}
    assert environment["OPENAI_API_KEY"] == "stays"
    assert installation.settings.home == tmp_path / "h"
    assert installation.settings.database_url is None
    for name in CALLERS:
        monkeypatch.delenv(name)
    assert installation.settings.run == Settings(home=tmp_path / "h").run
    assert installation.settings == IsolatedSettings(home=tmp_path / "h")


def test_the_processes_it_starts_see_their_own_settings_alone() -> None:
    kept = isolated_environment(CALLERS | {"PATH": "/bin", "OPTIONS": "x"})

    assert kept == {"PATH": "/bin", "OPTIONS": "x"}
