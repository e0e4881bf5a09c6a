"""Envoy, bridge, control plane and a real instance together, as `o up` starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from letta_client import BadRequestError, Letta

from o_platform.runtimes.folders import InstanceFolders
from o_platform.settings import Settings
from o_platform.testing import require
from o_platform.traffic.process import envoy_command, prepare_run

pytestmark = pytest.mark.integration
UP_S = 60.0


class Running:
    """The processes, and clients of both doors."""

    def __init__(self, control: httpx.Client, public: httpx.Client) -> None:
        self.control = control
        self.public = public

    def letta(self, token: str) -> Letta:
        return Letta(
            base_url=str(self.public.base_url),
            api_key=token,
            http_client=self.public,
            max_retries=0,
            _strict_response_validation=True,
        )

    def key(self, role: str) -> dict[str, str]:
        made: dict[str, str] = self.control.post(
            "/o/v1/keys", json={"name": f"a-{role}", "role": role}
        ).json()
        return made


@pytest.fixture
def running(
    short_tmp: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    require("envoy")
    for name, value in {
        "DATABASE_URL": database_url,
        "O_HOME": str(short_tmp / "h"),
        "O_RUN_DIR": str(short_tmp / "r"),
        "O_LISTEN": f"127.0.0.1:{_free_port()}",
        "O_RUNTIME": "process",
        "O_AUTH": "required",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    (settings.home / "log").mkdir(parents=True)
    prepare_run(settings)
    with ExitStack() as stack:
        for command in (
            envoy_command(settings),
            [sys.executable, "-m", "o_platform.bridge"],
            [sys.executable, "-m", "o_platform.api"],
        ):
            stack.callback(_stop, subprocess.Popen(command, env=os.environ))
        sockets = settings.run / "control.sock"
        _wait(sockets.exists)
        transport = httpx.HTTPTransport(uds=str(sockets))
        control = httpx.Client(transport=transport, base_url="http://control", timeout=20)
        public = httpx.Client(base_url=f"http://{settings.listen}", timeout=20)
        stack.enter_context(control)
        stack.enter_context(public)
        _wait(lambda: bool(control.get("/o/v1/status").json()["healthy"]))
        yield Running(control, public)
        instances = control.get("/o/v1/instances").json()
    # After the control plane has stopped, which would start them again.
    for instance in instances:
        _kill(instance["handle"])
    folders = InstanceFolders(settings.run)
    for instance_id in folders.known():
        folders.remove(instance_id)


def test_turns_keys_and_operators(running: Running) -> None:
    status = running.control.get("/o/v1/status").json()
    assert status["coming"] == []
    assert [i["role"] for i in status["instances"] if i["status"] == "ready"] == ["stable"]
    client, operator = running.key("client"), running.key("operator")
    letta = running.letta(client["token"])
    _wait(lambda: letta.health().status == "ok")

    agent = letta.agents.create(memory_blocks=[{"label": "human", "value": "Bob"}])
    turn = letta.agents.messages.create(agent.id, input="hello")
    assert [getattr(one, "content", None) for one in turn.messages] == ["echo: hello"]
    assert len(letta.agents.messages.list(agent.id).items) == 2
    run = letta.runs.list(agent_id=agent.id).items[0]
    assert (run.stop_reason, run.status) == ("end_turn", "completed")
    assert [s.run_id for s in letta.steps.list(agent_id=agent.id)] == [run.id]

    # Whoever was answered reads their own write in the next turn.
    for _ in range(5):
        letta.agents.update(agent.id, model="o/no-such-model")
        with pytest.raises(BadRequestError):
            letta.agents.messages.create(agent.id, input="x")
        letta.agents.update(agent.id, model="o/echo")
        letta.agents.messages.create(agent.id, input="x")

    def public(path: str, key: dict[str, str]) -> int:
        headers = {"authorization": f"Bearer {key['token']}"}
        return running.public.get(path, headers=headers).status_code

    assert public("/o/v1/status", client) == 403
    assert public("/o/v1/status", operator) == 200
    assert running.public.get("/v1/agents/").status_code == 401
    running.control.delete(f"/o/v1/keys/{client['id']}")
    assert public("/v1/agents/", client) == 401
    listed = {key["id"]: key["revoked_at"] for key in running.control.get("/o/v1/keys").json()}
    assert listed[client["id"]] is not None
    assert listed[operator["id"]] is None

    logs = running.control.get(f"/o/v1/instances/{status['instances'][0]['id']}/logs").json()
    assert logs["id"] == status["instances"][0]["id"]
    assert running.control.get("/o/v1/instances/nothing/logs").status_code == 404
    started = running.control.post("/o/v1/evolve", json={"lineage": "default", "policy": "demo"})
    assert started.status_code == 200
    _wait(lambda: _outcome(running, started.json()["attempt_id"]) not in {None, "open"})
    missing = running.control.post("/o/v1/rollouts", json={"variant": "ffffffff"})
    assert missing.status_code == 404
    unheard = {"variant": status["lineages"][0]["stable_variant"], "policy": "unheard-of"}
    assert running.control.post("/o/v1/rollouts", json=unheard).status_code == 422


def _outcome(running: Running, attempt_id: str) -> str | None:
    attempts = running.control.get("/o/v1/attempts").json()
    return next((a["outcome"] for a in attempts if a["id"] == attempt_id), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=20)


def _kill(handle: str) -> None:
    try:
        os.kill(int(handle.partition(":")[0]), 9)
    except ProcessLookupError:
        return


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + UP_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
