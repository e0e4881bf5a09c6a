"""The whole platform (Envoy, bridge, control plane, a process instance) under the real SDK.

Started once; a test has agents of its own, and kills what it likes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from letta_client import Letta
from tests.integration.miscounted import MISCOUNTED

from o_platform.db.embedded import EmbeddedServer
from o_platform.runtimes.folders import InstanceFolders
from o_platform.settings import Settings
from o_platform.testing import require
from o_platform.testing.postgres import cloned_database, short_folder
from o_platform.testing.vault import revealed
from o_platform.testing.waiting import until
from o_platform.traffic.process import envoy_command, prepare_run

START_S = 180.0
SCRIPT = Path(__file__).parent / "script.yaml"


class TurnPlatform:
    """The running processes, and the SDK as their client."""

    def __init__(self, stack: ExitStack, settings: Settings, environ: dict[str, str]) -> None:
        self._stack = stack
        self.settings = settings
        self.environ = environ
        self.url = environ["DATABASE_URL"]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.http = httpx.Client(base_url=f"http://{settings.listen}", timeout=40)
        stack.callback(self.http.close)
        transport = httpx.HTTPTransport(uds=str(settings.run / "control.sock"))
        self.control = httpx.Client(transport=transport, base_url="http://control", timeout=20)
        stack.callback(self.control.close)
        self.letta = Letta(
            base_url=str(self.http.base_url),
            api_key="none",
            http_client=self.http,
            max_retries=0,
            _strict_response_validation=True,
        )

    def start(self, name: str, command: list[str]) -> None:
        """Start a part; what it says is in its log."""
        log = (self.settings.home / "log" / f"{name}.log").open("ab")
        self._stack.callback(log.close)
        process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)
        self.processes[name] = process
        self._stack.callback(_stop, process)

    def restart_bridge(self) -> None:
        """Kill the bridge and start another."""
        self.processes["bridge"].kill()
        self.processes["bridge"].wait(10)
        self.start("bridge", [sys.executable, "-m", "o_platform.bridge"])

    def kill_workers(self) -> None:
        """Kill the worker of every instance; PID 1 promotes the spare."""
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The pid of every instance's worker."""
        found = []
        for handle in self.handles():
            pid = int(handle.partition(":")[0])
            listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for child in listed:
                if Path(f"/proc/{child}/comm").read_text().strip() == "o-worker":
                    found.append(int(child))
        return found

    def handles(self) -> list[str]:
        """Pid and start time of every instance's PID 1."""
        rows = self.rows("SELECT handle FROM instances WHERE status = 'ready'")
        return [str(row[0]) for row in rows]

    def rows(self, query: str, *values: object) -> list[Any]:
        """Rows of the database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query, values)
            return revealed(connection, cursor.fetchall()) if cursor.description else []

    def agent(self, **fields: Any) -> str:
        """Make an agent of `o/scripted`; returns its id."""
        given: dict[str, Any] = {
            "model": "o/scripted",
            "memory_blocks": [{"label": "human", "value": "Ada"}],
        }
        return self.letta.agents.create(**(given | fields)).id

    def send(self, agent_id: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        """Post a turn."""
        return self.http.post(f"/v1/agents/{agent_id}/messages", json=body, headers=headers)


@contextmanager
def running_platform(url: str) -> Iterator[TurnPlatform]:
    """A platform on this (migrated) database for the time of the block."""
    with ExitStack() as stack, short_folder() as folder:
        ours = {
            "DATABASE_URL": url,
            "O_HOME": str(folder / "h"),
            "O_RUN_DIR": str(folder / "r"),
            "O_LISTEN": f"127.0.0.1:{_free_port()}",
            "O_RUNTIME": "process",
            "O_SCRIPTED_MODEL": str(SCRIPT),
            "O_CALLBACK_HOSTS": '["127.0.0.1"]',
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ours.items():
                patch.setenv(name, value)
            settings = Settings()
        (settings.home / "log").mkdir(parents=True)
        prepare_run(settings)
        with ExitStack() as parts:
            running = TurnPlatform(parts, settings, os.environ | ours)
            running.start("envoy", envoy_command(settings))
            running.start("bridge", [sys.executable, "-m", "o_platform.bridge"])
            running.start("control", [sys.executable, "-m", "o_platform.api"])
            asyncio.run(until(lambda: _is_healthy(running), START_S))
            stack.callback(_remove_instances, settings, running.handles())
            yield running


@pytest.fixture(scope="session")
def platform(postgres: EmbeddedServer) -> Iterator[TurnPlatform]:
    require("envoy")
    with cloned_database(postgres) as url, running_platform(url) as running:
        yield running
        assert running.rows(MISCOUNTED) == []


def _is_healthy(running: TurnPlatform) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:  # which httpx would leave open if it is refused
        if probe.connect_ex(str(running.settings.run / "control.sock")) != 0:
            return False
    try:
        is_up = running.control.get("/o/v1/status").json()["healthy"]
        return bool(is_up) and running.http.get("/v1/health/").status_code == 200
    except (httpx.TransportError, ValueError):
        return False


def _remove_instances(settings: Settings, handles: list[str]) -> None:
    for handle in handles:
        try:
            os.kill(int(handle.partition(":")[0]), signal.SIGKILL)
        except ProcessLookupError:
            continue
    folders = InstanceFolders(settings.run)
    for instance_id in folders.known():
        folders.remove(instance_id)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=20)
