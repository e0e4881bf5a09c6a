"""What the supervisor is told: order, users, and who sees which secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from o_platform.cli.children import supervisor_spec
from o_platform.db.embedded import EmbeddedServer
from o_platform.settings import Settings
from o_platform.supervisor.spec import SupervisorSpec, load

pytestmark = pytest.mark.unit

SECRETS = {
    "OPENAI_API_KEY": "sk-1",
    "ANTHROPIC_API_KEY": "sk-2",
    "AWS_SECRET_ACCESS_KEY": "sk-3",
    "DATABASE_URL": "postgresql://o:secret@db/o",
    "O_DATABASE_URL": "postgresql://o:secret@db/o",
    "SOME_TOKEN": "sk-4",
}
ENVIRON = SECRETS | {"PATH": "/bin", "O_LOG_LEVEL": "debug", "LD_PRELOAD": "/evil.so"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return Settings(home=tmp_path / "home", run_dir=tmp_path / "run")


@pytest.fixture
def spec(settings: Settings) -> SupervisorSpec:
    return supervisor_spec(settings, None, "docker", None)


def visible(spec: SupervisorSpec, name: str) -> set[str]:
    return set(SECRETS) & set(spec.child(name).environment(ENVIRON))


def test_each_secret_reaches_only_who_needs_it(spec: SupervisorSpec) -> None:
    database = {"DATABASE_URL", "O_DATABASE_URL"}
    assert visible(spec, "envoy") == set()
    assert visible(spec, "zygote") == set()
    for name in ("migrations", "bridge", "control"):
        assert visible(spec, name) == database
    assert visible(spec, "llm") == set(SECRETS) - database


def test_the_embedded_server_is_told_nothing_and_its_url_is_passed_on(settings: Settings) -> None:
    server = EmbeddedServer(settings.home / "pg", settings.run / "pg", settings.home / "cache")
    spec = supervisor_spec(settings, server, "docker", (7, 8))
    names = ["zygote", "envoy", "postgres", "migrations", "bridge", "control", "llm"]
    assert [child.name for child in spec.children] == names
    assert set(spec.child("postgres").environment(ENVIRON)) == {"PATH"}
    for name in ("migrations", "bridge", "control"):
        assert spec.child(name).environment({})["DATABASE_URL"] == server.url
    assert "DATABASE_URL" not in spec.child("llm").environment({})
    assert (spec.child("envoy").uid, spec.child("envoy").gid) == (7, 8)
    assert spec.child("postgres").stop_signal == "SIGINT"


def test_children_get_the_settings_and_the_runtime_that_was_found(spec: SupervisorSpec) -> None:
    environ = spec.child("control").environment(ENVIRON)
    assert environ["O_LOG_LEVEL"] == "debug"
    assert environ["O_RUNTIME"] == "docker"
    assert "LD_PRELOAD" not in environ


def test_the_specification_survives_its_file_and_holds_no_secret(
    spec: SupervisorSpec, tmp_path: Path
) -> None:
    file = tmp_path / "spec.json"
    file.write_text(spec.to_json())
    assert load(file) == spec
    assert "secret" not in file.read_text()
    assert "sk-" not in file.read_text()


def test_envoy_stops_first_and_postgres_last(spec: SupervisorSpec) -> None:
    assert spec.stop_order == ("envoy",)
    assert spec.children[-1].name == "llm"
