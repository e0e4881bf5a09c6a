"""What is left of a killed PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from o_platform.cli.postmaster import clear_dead_postmaster
from o_platform.supervisor.process import start_time

pytestmark = pytest.mark.unit


def make_zombie() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["/bin/true"])
    while start_time(process.pid) is not None:
        pass
    return process


def test_a_zombies_file_goes_when_nobody_works_in_the_folder_any_more(tmp_path: Path) -> None:
    zombie = make_zombie()
    file, lock = tmp_path / "postmaster.pid", tmp_path / ".s.PGSQL.5432.lock"
    for one in (file, lock):
        one.write_text(f"{zombie.pid}\n{tmp_path}\n")
    worker = subprocess.Popen(
        [sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE
    )
    clearing = threading.Thread(target=clear_dead_postmaster, args=(tmp_path, tmp_path))
    clearing.start()
    clearing.join(0.2)
    assert clearing.is_alive()
    assert file.exists()
    worker.communicate(b"\n")
    clearing.join(10)
    assert not file.exists()
    assert not lock.exists()
    zombie.wait()


def test_the_file_goes_if_somebody_else_has_its_servers_number(tmp_path: Path) -> None:
    file = tmp_path / "postmaster.pid"
    file.write_text(f"{os.getpid()}\n")
    clear_dead_postmaster(tmp_path, tmp_path)
    assert not file.exists()


def test_the_file_of_a_running_or_vanished_server_is_postgresqls_own_affair(
    tmp_path: Path,
) -> None:
    file = tmp_path / "postmaster.pid"
    clear_dead_postmaster(tmp_path, tmp_path)
    server = subprocess.Popen(
        [sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE
    )
    for pid in (str(server.pid), "4194305", "nonsense", ""):
        file.write_text(f"{pid}\n")
        clear_dead_postmaster(tmp_path, tmp_path)
        assert file.exists()
    server.communicate(b"\n")
