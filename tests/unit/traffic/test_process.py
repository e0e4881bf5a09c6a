"""Envoy's folder and command line."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from o_platform.settings import Settings
from o_platform.traffic.process import envoy_command, envoy_paths, prepare_run, replace_file

pytestmark = pytest.mark.unit


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", run_dir=tmp_path / "run")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_envoys_and_what_is_there_stays(settings: Settings) -> None:
    prepare_run(settings)
    folder = settings.run / "envoy"
    routes = folder / "lds" / "lds.json"
    assert _mode(folder) == 0o700
    assert _mode(routes) == 0o600
    replace_file(routes, "mine", owner=folder)
    prepare_run(settings)
    assert routes.read_text() == "mine"
    assert (settings.run / "internal.sock").readlink() == folder / "internal.sock"
    bootstrap = json.loads((folder / "bootstrap.json").read_text())
    assert bootstrap["admin"]["address"]["pipe"]["mode"] == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_user_gets_what_it_must_read_and_nothing_else(settings: Settings) -> None:
    prepare_run(settings)
    folder = settings.run / "envoy"
    (folder / "upstream.log").touch(0o600)
    prepare_run(settings, uid=65534, gid=65534)
    given = [folder, folder / "bootstrap.json", folder / "cds" / "cds.json"]
    given.append(folder / "upstream.log")
    assert {path.stat().st_uid for path in given} == {65534}
    assert (folder / "cds").stat().st_uid == os.geteuid()
    assert settings.run.stat().st_uid == os.geteuid()


def test_the_command_names_the_bootstrap(settings: Settings) -> None:
    command = envoy_command(settings)
    assert command[0].endswith("envoy")
    assert envoy_paths(settings).bootstrap in command
