"""`o up` to `o down` on real parts: PostgreSQL, Envoy, a container, in a home of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from letta_client import Letta

from o_platform.testing import require

pytestmark = pytest.mark.integration


@dataclass
class Installation:
    """One home and port, and the command `o` on them."""

    home: Path
    port: int

    @property
    def environ(self) -> dict[str, str]:
        ours = {
            "O_HOME": str(self.home / "h"),
            "O_RUN_DIR": str(self.home / "r"),
            "O_LISTEN": f"127.0.0.1:{self.port}",
        }
        return {k: v for k, v in os.environ.items() if k != "DATABASE_URL"} | ours

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "o_platform.cli.main", *arguments],
            env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=180)
        assert process.returncode == code, output
        return output

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.run("status", "--json"))
        return status

    def client(self) -> Letta:
        token = (self.home / "h/keys/operator.token").read_text().strip()
        return Letta(base_url=f"http://127.0.0.1:{self.port}", api_key=token, max_retries=0)


@pytest.fixture
def installed(short_tmp: Path) -> Iterator[Installation]:
    for part in ("docker", "envoy", "postgres"):
        require(part)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    installation = Installation(short_tmp, port)
    yield installation
    installation.run("down")


def kill_everything(installed: Installation) -> None:
    supervisor = installed.status()["supervisor"]
    pids = [child["pid"] for child in supervisor["children"] if child["pid"]]
    for pid in [supervisor["pid"], *pids]:
        os.kill(pid, signal.SIGKILL)


def printed_program(output: str) -> str:
    lines = output[output.index("  from letta_client") :].splitlines()
    end = next(number for number, line in enumerate(lines) if "print(" in line)
    return "\n".join(line.strip() for line in lines[: end + 1])


class Load:
    """Turns over a few agents, until stopped or refused a connection."""

    def __init__(self, client: Letta) -> None:
        self.agents = [client.agents.create(model="o/echo").id for _ in range(4)]
        self.answered = 0
        self.failures: list[str] = []
        self._url = str(client.base_url)
        self._threads = [threading.Thread(target=self._turns, args=(id_,)) for id_ in self.agents]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(60)

    def _turns(self, agent_id: str) -> None:
        body = {"messages": [{"role": "user", "content": "hello"}]}
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self.failures:
                try:
                    answer = client.post(f"/v1/agents/{agent_id}/messages", json=body)
                except (httpx.ConnectError, httpx.ReadError):
                    # Refused; or reset, if it waited to be accepted as the listener closed.
                    return
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    return
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                self.answered += 1


def test_up_serves_a_kill_loses_nothing_and_down_cuts_no_request(installed: Installation) -> None:
    first, second = installed.start("up"), installed.start("up")
    outputs = [first.communicate(timeout=180)[0], second.communicate(timeout=180)[0]]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert sum("Project O is up" in output for output in outputs) == 1
    assert sum("another `o up` is at work" in output for output in outputs) == 1

    began = time.monotonic()
    again = installed.run("up")
    assert "runs already" in again
    assert time.monotonic() - began < 5  # nothing is started
    example = subprocess.run(
        [sys.executable, "-c", printed_program(again)], capture_output=True, text=True, check=False
    )
    assert example.stdout == "echo: hello\n", example.stderr

    client = installed.client()
    agent = client.agents.create(model="o/echo")
    client.agents.messages.create(agent.id, input="remember me")
    kill_everything(installed)
    assert "does not run" in installed.run("status", code=3)
    assert "Project O is up" in installed.run("up")
    contents = [getattr(m, "content", None) for m in client.agents.messages.list(agent.id)]
    assert "remember me" in contents
    assert "echo: remember me" in contents

    load = Load(client)
    while load.answered < 50:
        assert not load.failures
        time.sleep(0.02)
    assert "stopped in order" in installed.run("down")
    load.wait()
    assert not load.failures
    assert "does not run" in installed.run("status", code=3)
    assert "does not run" in installed.run("down")


def test_commands_and_the_foreground(installed: Installation) -> None:
    process = installed.start("up", "--foreground")
    assert process.stdout is not None
    seen = ""
    while "print(turn" not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    status = installed.status()
    assert status["supervisor"]["pid"] == process.pid
    assert status["supervisor"]["mode"] == "running"
    assert status["control"]["healthy"]

    key = re.search(r"key-[0-9a-f-]+", installed.run("keys", "create", "shop"))
    assert key is not None
    assert "revoked" in installed.run("keys", "revoke", key[0])
    assert "shop" in installed.run("keys", "list")
    digest = status["control"]["lineages"][0]["stable_variant"]
    assert digest[:12] in installed.run("variant", "list")
    assert "genome.toml" in installed.run("variant", "show", digest[:6])
    assert "no difference" in installed.run("variant", "diff", digest[:6], digest)
    assert "default" in installed.run("rollout", "policies")
    assert "has no rollout yet" in installed.run("rollout", "status", code=1)
    assert "no variant" in installed.run("rollout", "start", "0000", code=1)
    instance = status["control"]["instances"][0]["id"]
    assert "worker" in installed.run("logs", instance)
    assert "bridge" in installed.run("logs")
    assert "served by this platform" in installed.run("doctor")
    assert "restarts" in installed.run("restart", "bridge")
    assert "runs already" in installed.run("up", "--foreground", code=1)

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "is up" in installed.run("up")
    kill_everything(installed)
    assert "ended 1 instance, left over" in installed.run("down")
    assert not list((installed.home / "r/instances").iterdir())
