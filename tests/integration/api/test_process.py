"""The control plane's process: killed, bridged by its spare, respawned; nobody is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from o_platform.db.engine import Database
from o_platform.db.models import Lineage
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration

ROUNDS = 4
"""Kills until one is bridged in time: other work on the machine may slow some of them."""
HEALTH = "/v1/health/"


class Control:
    """`python -m o_platform.api` in a folder of its own."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.socket = folder / "control.sock"
        self._env = os.environ | {
            "DATABASE_URL": database_url,
            "O_HOME": str(folder),
            "O_RUN_DIR": str(folder),
            "O_RUNTIME": "process",
        }

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "o_platform.api"], env=self._env)

    def get(self, path: str = HEALTH) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.socket))
        with httpx.Client(transport=transport, base_url="http://c", timeout=10) as client:
            return client.get(path)

    def seconds_until_healthy(self, limit_s: float = 60) -> float:
        began = time.monotonic()
        while time.monotonic() - began < limit_s:
            with contextlib.suppress(httpx.TransportError):
                if self.socket.exists() and self.get().status_code == 200:
                    return time.monotonic() - began
            time.sleep(0.01)
        raise TimeoutError(f"no health after {limit_s} s")

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("O_RUN_DIR") == self._env["O_RUN_DIR"]:
                    found.append(process)
        return found


@pytest.fixture
def control(short_tmp: Path, database_url: str) -> Iterator[Control]:
    asyncio.run(_seed(database_url))
    control = Control(short_tmp, database_url)
    yield control
    for process in control.processes():
        with contextlib.suppress(psutil.Error):
            process.kill()


async def _seed(database_url: str) -> None:
    database = Database(database_url, vault_of_tests())
    async with database.unit_of_work() as session:
        session.add(Lineage(name="default", key=1))
    await database.close()


def test_killed_bridged_and_back(control: Control) -> None:
    process = control.start()
    control.seconds_until_healthy()
    assert control.socket.stat().st_mode & 0o777 == 0o600

    outages_s: list[float] = []
    while len(outages_s) < ROUNDS and not any(outage_s < 0.5 for outage_s in outages_s):
        process.kill()
        outages_s.append(control.seconds_until_healthy())
        process.wait()
        assert control.get("/o/v1/status").json()["leads"] is False
        process = control.start()
        assert _requests_until(control, control.socket.stat().st_ino) == []
        _wait(lambda: len(control.processes()) == 2)
        assert control.get("/o/v1/status").json()["leads"] is True
    assert min(outages_s) < 0.5, outages_s

    process.terminate()
    assert process.wait(timeout=10) == 0
    _wait(lambda: control.processes() == [])


def test_connections_made_meanwhile_wait(control: Control) -> None:
    process = control.start()
    control.seconds_until_healthy()
    answers: list[int] = []
    process.send_signal(19)  # stopped: it accepts no more, the kernel still queues
    asking = threading.Thread(target=lambda: answers.append(control.get().status_code))
    asking.start()
    _wait(lambda: _queued(control.socket))
    process.kill()
    asking.join(timeout=10)
    assert answers == [200]
    process.wait()


def _requests_until(control: Control, inode: int) -> list[int]:
    """Ask without a pause until the socket's path names another socket, and a while longer."""
    failures, last = [], 0.0
    while not last or time.monotonic() < last + 0.5:
        status = control.get().status_code
        if status != 200:
            failures.append(status)
        if not last and control.socket.stat().st_ino != inode:
            last = time.monotonic()
    return failures


def _queued(socket: Path) -> bool:
    # A connection that was not accepted yet shows as connecting to the listener's path.
    lines = Path("/proc/net/unix").read_text().splitlines()
    return (
        sum(line.endswith(f" {socket}") or line.endswith(f" {socket}.next") for line in lines) > 1
    )


def _wait(condition: object, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
