"""One installation on a small disk, its engine behind a socket that can be cut, a model to lie."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from o_platform.testing import require
from o_platform.testing.disk import small_disk
from o_platform.testing.envoy import free_port
from o_platform.testing.openai_server import OpenAiServer
from o_platform.testing.postgres import short_folder
from o_platform.testing.relay import Relay

DISK_BYTES = 200 << 20
PATIENCE_S = 120.0
WAIT_S = 90


class EngineSocket:
    """A relay to the engine, on an event loop in a thread."""

    def __init__(self, path: Path) -> None:
        self._relay = Relay(path)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = self._relay.url

    def open(self) -> None:
        self._do(self._relay.open())

    def cut(self) -> None:
        self._do(self._relay.cut())

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


@dataclass
class Installation:
    """One home, and the command `o` on it."""

    home: Path
    run: Path
    engine: EngineSocket
    provider: OpenAiServer
    port: int = field(default_factory=free_port)

    def o(self, *arguments: str, code: int = 0, **changes: str) -> str:
        ours = {
            "O_HOME": str(self.home),
            "O_RUN_DIR": str(self.run),
            "O_LISTEN": f"127.0.0.1:{self.port}",
            "DOCKER_HOST": self.engine.url,
            "O_LLM_BASE_URLS": json.dumps({"local": self.provider.base_url}),
            "O_LLM_TIMEOUT_S": "6",
            "O_LLM_RETRIES": "0",
        }
        environ = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"} | ours | changes
        command = [sys.executable, "-m", "o_platform.cli.main", *arguments]
        ended = subprocess.run(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=300,
        )  # fmt: skip
        assert ended.returncode == code, ended.stdout
        return ended.stdout

    def pid(self, child: str) -> int:
        status = json.loads(self.o("status", "--json"))
        (pid,) = (c["pid"] for c in status["supervisor"]["children"] if c["name"] == child)
        return int(pid or 0)

    def client(self) -> httpx.Client:
        token = (self.home / "keys/operator.token").read_text().strip()
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": f"Bearer {token}"},
            timeout=PATIENCE_S,
        )


class Load:
    """Turns of a few agents, each turn with a name of its own and sent once, until told to stop."""

    def __init__(self, installation: Installation) -> None:
        self.answered: Counter[str] = Counter()
        self.refused: list[tuple[str, httpx.Response]] = []
        self._installation = installation
        self._stopping = threading.Event()
        with installation.client() as client:
            self._agents = [
                client.post("/v1/agents", json={"model": "o/echo"}).json()["id"] for _ in range(4)
            ]
        self._threads = [threading.Thread(target=self._turns, args=(a,)) for a in self._agents]
        for thread in self._threads:
            thread.start()

    def await_turns(self, count: int = 8) -> None:
        """Return after so many further turns."""
        wanted = self.answered.total() + count
        until(lambda: self.answered.total() >= wanted)

    def finish(self) -> None:
        """Stop, and check that each turn answered is kept once, and each other one at most once."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        with self._installation.client() as client:
            kept = Counter(
                message["content"]
                for agent in self._agents
                for message in client.get(f"/v1/agents/{agent}/messages?limit=10000").json()
                if message["message_type"] == "user_message"
            )
        assert {name for name, times in kept.items() if times != 1} == set()
        assert self.answered.keys() - kept.keys() == set()
        for name, response in self.refused:
            assert (response.status_code, response.headers.get("retry-after")) == (503, "1"), name

    def _turns(self, agent: str) -> None:
        with self._installation.client() as client:
            number = 0
            while not self._stopping.is_set():
                number += 1
                name = f"{agent} {number}"
                body = {"messages": [{"role": "user", "content": name}]}
                response = client.post(f"/v1/agents/{agent}/messages", json=body)
                if response.status_code == 200:
                    self.answered[name] += 1
                else:
                    self.refused.append((name, response))


def until(condition: Callable[[], Any], within_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def installed() -> Iterator[Installation]:
    for part in ("docker", "envoy", "postgres", "mount"):
        require(part)
    with small_disk(DISK_BYTES) as disk, short_folder() as run, OpenAiServer() as provider:
        engine = EngineSocket(run / "engine.sock")
        engine.open()
        installation = Installation(disk / "h", run / "r", engine, provider)
        try:
            installation.o("up")
            yield installation
        finally:
            installation.o("down")
            engine.close()


@pytest.fixture(scope="module")
def half_sent(installed: Installation) -> Iterator[socket.socket]:
    """A connection whose headers never end, from the beginning on."""
    with socket.create_connection(("127.0.0.1", installed.port)) as connection:
        connection.settimeout(WAIT_S)
        connection.sendall(b"POST /v1/agents HTTP/1.1\r\nhost: o\r\n")
        yield connection


@pytest.fixture
def load(installed: Installation) -> Iterator[Load]:
    load = Load(installed)
    load.await_turns()
    yield load
    load.finish()
