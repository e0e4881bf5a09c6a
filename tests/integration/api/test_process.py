"""The control plane's process: killed and forked anew; nobody is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.integration.supervised import Supervised, supervised

from o_platform.db.engine import Database
from o_platform.db.models import Lineage
from o_platform.settings import Settings
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration

ROUNDS = 4
"""Kills until one is over in time: other work on the machine may slow some of them."""
HEALTH = "/v1/health/"


@dataclass
class Control:
    """A supervised control plane, and a client of it."""

    running: Supervised
    socket: Path

    @property
    def pid(self) -> int:
        return self.running.pid("control")

    def get(self, path: str = HEALTH) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)
        with httpx.Client(transport=transport, base_url="http://c", timeout=10) as client:
            return client.get(path)


@dataclass
class Asking:
    """Requests, one after the other without a pause, while the context is open."""

    control: Control
    answers: list[tuple[float, int]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Asking:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                status = self.control.get().status_code
            except httpx.TransportError as error:
                self.errors.append(error)
            else:
                self.answers.append((time.monotonic(), status))


@pytest.fixture
def control(short_tmp: Path, database_url: str) -> Iterator[Control]:
    asyncio.run(_seed(database_url))
    settings = Settings(home=short_tmp, run_dir=short_tmp)
    with supervised(settings, database_url, "control") as running:
        control = Control(running, short_tmp / "control.sock")
        assert control.get().status_code == 200
        yield control


async def _seed(database_url: str) -> None:
    database = Database(database_url, vault_of_tests())
    async with database.unit_of_work() as session:
        session.add(Lineage(name="default", key=1))
    await database.close()


def test_killed_and_back(control: Control) -> None:
    assert control.socket.stat().st_mode & 0o777 == 0o600
    outages_s: list[float] = []
    while len(outages_s) < ROUNDS and not any(outage_s < 0.5 for outage_s in outages_s):
        killed = control.pid
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        with Asking(control) as asking:
            control.running.await_successor("control", of=killed)
            assert control.get("/o/v1/status").status_code == 200
        outages_s.append(asking.answers[0][0] - began)
        assert asking.errors == []
        assert {status for _, status in asking.answers} == {200}
    assert min(outages_s) < 0.5, outages_s


def test_a_stop_in_order_is_no_failure(control: Control) -> None:
    pid, running = control.pid, control.running
    assert running.client.stop("test", timeout_s=20)
    running.process.wait(10)
    events = (control.socket.parent / "log/events.jsonl").read_text()
    assert "`control` stopped (exited 0)" in events
    assert not Path(f"/proc/{pid}").exists()


def test_connections_made_meanwhile_wait(control: Control) -> None:
    answers: list[int] = []
    pid = control.pid
    os.kill(pid, signal.SIGSTOP)  # it accepts no more, the kernel still queues
    asking = threading.Thread(target=lambda: answers.append(control.get().status_code))
    asking.start()
    _wait(lambda: _queued(control.socket))
    os.kill(pid, signal.SIGKILL)
    asking.join(timeout=10)
    assert answers == [200]


def _queued(socket: Path) -> bool:
    # A connection that was not accepted yet shows as connecting to the listener's path.
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith(f" {socket}") for line in lines) > 1


def _wait(condition: object, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
