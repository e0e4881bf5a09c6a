"""A real supervisor with small real children."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from o_platform.supervisor.client import SupervisorClient
from o_platform.supervisor.process import start_time
from o_platform.supervisor.spec import ChildSpec, Probe, ProbeKind, SupervisorSpec

SERVER = """
    import os, signal, socket, sys
    path, journal, name = sys.argv[1:4]
    def note(what):
        with open(journal, "a") as file:
            file.write(f"{what} {name}\\n")
    def stop(*_):
        note("stop")
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    listener = socket.socket(socket.AF_UNIX)
    if os.path.exists(path):
        os.unlink(path)
    listener.bind(path)
    note("start")
    listener.listen(16)
    print(f"{name} serves", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.close()
"""


@dataclass
class Running:
    """A supervisor's process, and how to talk to it."""

    process: subprocess.Popen[bytes]
    client: SupervisorClient
    folder: Path

    def child(self, name: str) -> dict[str, Any]:
        return next(c for c in self.client.status()["children"] if c["name"] == name)

    def events(self) -> list[dict[str, Any]]:
        lines = (self.folder / "log/events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def journal(self) -> list[str]:
        return (self.folder / "journal").read_text().split("\n")[:-1]


def wait_for(condition: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.002)
    return value


def server(folder: Path, name: str, **changes: Any) -> ChildSpec:
    script = folder / "server.py"
    script.write_text(textwrap.dedent(SERVER))
    path = str(folder / f"{name}.sock")
    command = (sys.executable, "-I", "-S", str(script), path, str(folder / "journal"), name)
    return replace(ChildSpec(name, command, probe=Probe(ProbeKind.CONNECT, path)), **changes)


def shell(name: str, script: str, **changes: Any) -> ChildSpec:
    return replace(ChildSpec(name, ("/bin/sh", "-c", script)), **changes)


@pytest.fixture
def start(short_tmp: Path) -> Iterator[Callable[..., Running]]:
    with contextlib.ExitStack() as stack:

        def start(*children: ChildSpec, up: bool = True, **changes: Any) -> Running:
            spec = SupervisorSpec(children, str(short_tmp / "run"), str(short_tmp / "log"))
            (short_tmp / "spec.json").write_text(replace(spec, **changes).to_json())
            process = subprocess.Popen(
                [sys.executable, "-m", "o_platform.supervisor", short_tmp / "spec.json"],
                env={"PATH": os.environ["PATH"], "PROVIDER_API_KEY": "secret", "O_X": "1"},
                stderr=subprocess.PIPE,
            )
            stack.callback(finish, process)
            running = Running(
                process, SupervisorClient(short_tmp / "run/supervisor.sock"), short_tmp
            )
            if up:
                wait_for(lambda: is_up(running))
            return running

        yield start


def is_up(running: Running) -> bool:
    with contextlib.suppress(ConnectionError):
        return running.client.status()["mode"] == "running"
    return False


def finish(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.stderr is not None
    process.stderr.close()


def gone(pid: int) -> bool:
    return start_time(pid) is None
