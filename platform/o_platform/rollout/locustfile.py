"""The load test's clients: what `locust` runs, in a process of its own.

Everything comes from the environment (`LoadPlan` of `gates/load_plan.py` writes it). Clients speak
to Envoy's internal Unix socket and name the instance they mean in `x-o-instance`. Time is cut into
windows that belong to the candidate and the baseline in turn, so that whatever else happens on the
machine happens to both.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from locust import HttpUser, constant_throughput, events, task
from locust.env import Environment
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from o_platform.rollout.gates.load_plan import LoadPlan

PLAN = LoadPlan.from_environment(os.environ)
_PARENT = os.getppid()
_numbers = itertools.count()


class UnixConnection(HTTPConnection):
    """HTTP over the plan's Unix socket."""

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PLAN.timeout_s)
        connection.connect(PLAN.socket)
        return connection


class UnixPool(HTTPConnectionPool):
    """Keeps connections to the socket open."""

    ConnectionCls = UnixConnection


class UnixAdapter(HTTPAdapter):
    """Sends every request to the socket, whatever its host."""

    def __init__(self) -> None:
        """One pool with room for one connection: each client has its own adapter."""
        self._pool = UnixPool("instance", maxsize=1, block=True)
        super().__init__()

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,
    ) -> HTTPConnectionPool:
        """The pool, for any request."""
        return self._pool

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()
        super().close()


class Client(HttpUser):
    """One client: takes turns with its own agents, at its share of the rate."""

    host = "http://instance"
    wait_time = constant_throughput(PLAN.rate_rps / PLAN.concurrency)

    def on_start(self) -> None:
        """Connect, and take this client's agents."""
        self.client.mount("http://", UnixAdapter())
        first = next(_numbers) % PLAN.concurrency
        self._agents = itertools.cycle(PLAN.agents[first :: PLAN.concurrency])

    @task
    def turn(self) -> None:
        """One turn with the side whose window it is."""
        side = PLAN.side_at(time.monotonic())
        text = f"load check {next(_numbers)}"
        self.client.post(
            f"/v1/agents/{next(self._agents)}/messages",
            json={"messages": [{"role": "user", "content": text}]},
            headers={"x-o-instance": PLAN.instances[side]},
            name=side,
            timeout=PLAN.timeout_s,
        )


def _stop_without_parent(environment: Environment) -> None:
    """End the test when the control plane is gone: nobody would read the result."""
    while os.getppid() == _PARENT:
        time.sleep(0.5)
    if environment.runner is not None:
        environment.runner.quit()


def _watch_parent(environment: Environment, **_: Any) -> None:
    threading.Thread(target=_stop_without_parent, args=(environment,), daemon=True).start()


events.init.add_listener(_watch_parent)  # type: ignore[no-untyped-call]
