"""A real Envoy in front of tiny backends, steered by snapshots alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from o_contracts.ids import new_agent_id
from o_platform.settings import Settings
from o_platform.testing import require
from o_platform.testing.envoy import Backend, EnvoyProcess, free_port, running
from o_platform.traffic.delivery import Delivery
from o_platform.traffic.keys import Role, Signer
from o_platform.traffic.render import render
from o_platform.traffic.snapshot import (
    Canary,
    Endpoint,
    LineageRoutes,
    Listener,
    Shadow,
    Snapshot,
)

INSTANCES = ("stable", "canary", "shadow", "bench", "other")


class Edge:
    """Envoy, a control plane, and five instances that a test arranges as it likes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.envoy = EnvoyProcess(settings)
        self.delivery = Delivery(self.envoy.paths, self.envoy.admin)
        self.signer = Signer(settings.home)
        self.over_tls = False
        self.control = Backend("control", Path(self.envoy.paths.control_socket))
        self.instances = {name: Backend(name, self._socket(name)) for name in INSTANCES}
        self.snapshot = Snapshot(
            listener=Listener("127.0.0.1", settings.listen_port, tls=False, auth_required=False),
            paths=self.envoy.paths,
            jwks=self.signer.jwks,
            default_key=1,
            lineages=(self.lineage(),),
        )

    def _socket(self, name: str) -> Path:
        folder = hashlib.sha256(name.encode()).hexdigest()[:12]
        return self.settings.run / "instances" / folder / "in" / "agent.sock"

    def endpoint(self, name: str) -> Endpoint:
        socket = self._socket(name)
        variant = hashlib.sha256(f"variant {name}".encode()).hexdigest()
        return Endpoint(socket.parent.parent.name, variant, str(socket))

    def lineage(self, **changes: Any) -> LineageRoutes:
        return replace(LineageRoutes(1, "default", (self.endpoint("stable"),)), **changes)

    def canary(self, permille: int) -> Canary:
        return Canary(self.endpoint("canary"), permille)

    def shadow(self, permille: int) -> Shadow:
        return Shadow(self.endpoint("shadow"), permille)

    async def serve(self, *lineages: LineageRoutes, **changes: Any) -> None:
        """Deliver the present snapshot with these lineages (if any) and changes."""
        wanted = {"lineages": lineages} if lineages else {}
        self.snapshot = replace(self.snapshot, **wanted, **changes)
        await self.delivery.deliver(render(self.snapshot))

    def client(self, *, internal: bool = False) -> httpx.AsyncClient:
        socket = str(self.settings.run / "internal.sock") if internal else None
        scheme = "https" if self.over_tls and not internal else "http"
        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket, verify=False),
            base_url=f"{scheme}://127.0.0.1:{self.settings.listen_port}",
            timeout=20,
            trust_env=False,
        )

    async def until(self, condition: Callable[[], bool], *, within_s: float = 30) -> None:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - other processes do not tell
                await asyncio.sleep(0.01)

    async def until_healthy(self) -> None:
        """Wait until no destination is left out.

        They run on the test's own event loop: while that is busy, they are late for their health
        checks, and on a busy machine late enough to be passed over.
        """
        async with asyncio.timeout(30):
            while True:
                found = await self.envoy.admin.stats(r"\.membership_(healthy|total)$")
                counts: dict[str, set[str]] = {}
                for name, value in found.items():
                    counts.setdefault(name.rpartition(".")[0], set()).add(value)
                if all(len(values) == 1 for values in counts.values()):
                    return
                await asyncio.sleep(0.05)

    def turn(self, key: int = 1, tail: str = "") -> str:
        """The path of a turn of some agent of a lineage."""
        return f"/v1/agents/{new_agent_id(key)}/messages{tail}"

    def bearer(self, role: Role, key_id: str = "key-1", name: str = "ada") -> dict[str, str]:
        return {"authorization": f"Bearer {self.signer.sign(key_id, name, role)}"}


@pytest.fixture
def edge_settings(short_tmp: Path) -> Settings:
    return Settings(
        home=short_tmp / "home", run_dir=short_tmp / "run", listen=f"127.0.0.1:{free_port()}"
    )


@pytest.fixture
async def edge(edge_settings: Settings) -> AsyncIterator[Edge]:
    require("envoy")
    edge = Edge(edge_settings)
    await edge.envoy.start()
    try:
        async with running(edge.control, *edge.instances.values()):
            await edge.serve()
            yield edge
    finally:
        edge.envoy.stop()
