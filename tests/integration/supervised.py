"""Some of the platform's own processes, under a real supervisor and forked from a real zygote."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from o_platform.cli.children import supervisor_spec
from o_platform.settings import Settings
from o_platform.supervisor.client import SupervisorClient, SupervisorDownError

UP_S = 60.0


@dataclass(frozen=True)
class Supervised:
    """A supervisor, and what it says of its children."""

    process: subprocess.Popen[bytes]
    client: SupervisorClient

    def pid(self, name: str) -> int:
        """Process id of a child that is ready; 0 if it is not."""
        children = self.client.status()["children"]
        child = next(each for each in children if each["name"] == name)
        return int(child["pid"] or 0) if child["phase"] == "ready" else 0

    def await_successor(self, name: str, of: int) -> int:
        """Process id of the next one that is ready."""
        deadline = time.monotonic() + UP_S
        while (pid := self.pid(name)) in (0, of):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return pid


@contextmanager
def supervised(settings: Settings, database_url: str, *names: str) -> Iterator[Supervised]:
    """Run the children with these names and the zygote, until all have been stopped in order."""
    whole = supervisor_spec(settings, None, "process", None)
    children = tuple(child for child in whole.children if child.name in ("zygote", *names))
    file = settings.run / "supervisor.json"
    # Every death is a first one, after which a child starts again at once.
    spec = replace(whole, children=children, stop_order=(), stable_s=0.0)
    file.write_text(spec.to_json())
    environ = os.environ | {"DATABASE_URL": database_url}
    command = [sys.executable, "-m", "o_platform.supervisor", str(file)]
    process = subprocess.Popen(command, env=environ)
    client = SupervisorClient(settings.run / "supervisor.sock")
    try:
        _await_up(client)
        yield Supervised(process, client)
    finally:
        process.terminate()
        process.wait()


def _await_up(client: SupervisorClient) -> None:
    deadline = time.monotonic() + UP_S
    while time.monotonic() < deadline:
        with suppress(SupervisorDownError):
            if client.status()["mode"] == "running":
                return
        time.sleep(0.02)
    raise TimeoutError(f"the supervisor was not up within {UP_S:g} s")
