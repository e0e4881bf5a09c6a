"""The course of the demo: four cycles of evolution under load, with three kills on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console

from o_benchmarks.demo.chaos import kill, kill_worker
from o_benchmarks.demo.installation import Installation, answer

LINEAGE = "default"
POLICY = "demo"
LOOK_S = 0.4
CYCLE_LIMIT_S = 150
TITLES = (
    "an improvement: a shorter context window",
    "sabotage: crashes on one request in ten, of a kind that only live users send",
    "sabotage: at least three times slower",
    "sabotage: looks for the environment, the host's files and the network",
)
EXPECTED = ("promoted", "thrown out", "thrown out", "thrown out")


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, `second` after the load began."""

    second: float
    text: str
    mark: str = ""
    """Short label for the plot; empty: not drawn."""


@dataclass(slots=True)
class Story:
    """Runs the cycles and keeps what happened."""

    installation: Installation
    api: httpx.AsyncClient
    console: Console
    began: float = field(default_factory=time.monotonic)
    moments: list[Moment] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, text: str, mark: str = "") -> None:
        """Note a moment and print it."""
        moment = Moment(time.monotonic() - self.began, text, mark)
        self.moments.append(moment)
        self.console.print(
            f"[dim]{moment.second:6.1f} s[/]  {text}", highlight=False, soft_wrap=True
        )

    async def run(self) -> None:
        """The four cycles, each with the kill that goes with it."""
        kills: list[tuple[str, Callable[[], Awaitable[None]]] | None] = [
            ("canary", self._kill_stable_worker),
            ("shadow", self._kill_bridge),
            ("load", self._kill_control_plane),
            None,
        ]
        for number, (title, disaster) in enumerate(zip(TITLES, kills, strict=True)):
            self.tell(f"[bold]cycle {number + 1}: {title}[/]", f"cycle {number + 1}")
            await self._cycle(disaster)

    def outcomes(self) -> list[str]:
        """What became of each attempt: `promoted`, or `thrown out` for any end but that."""
        return ["promoted" if a["outcome"] == "promoted" else "thrown out" for a in self.attempts]

    async def _cycle(self, disaster: tuple[str, Callable[[], Awaitable[None]]] | None) -> None:
        body = {"lineage": LINEAGE, "policy": POLICY}
        attempt_id = (await answer(self.api, "POST", "/o/v1/evolve", json=body))["attempt_id"]
        seen = 0
        async with asyncio.timeout(CYCLE_LIMIT_S):
            while True:
                attempt = await self._attempt(attempt_id)
                if attempt is not None and attempt["rollout_id"]:
                    path = f"/o/v1/rollouts/{attempt['rollout_id']}/events"
                    events = await answer(self.api, "GET", path)
                    self._tell_events(events[seen:])
                    seen = len(events)
                    if disaster and any(event["state"] == disaster[0] for event in events):
                        await disaster[1]()
                        disaster = None
                if attempt is not None and attempt["finished_at"]:
                    break
                await asyncio.sleep(LOOK_S)
        if disaster:
            await disaster[1]()
        if attempt["rollout_id"]:
            self.evidence += await answer(
                self.api, "GET", f"/o/v1/rollouts/{attempt['rollout_id']}/events"
            )
        self.attempts.append(attempt)
        self.tell(f"  → [bold]{attempt['outcome']}[/]: {attempt['lesson']}", attempt["outcome"])

    async def _attempt(self, attempt_id: str) -> dict[str, Any] | None:
        attempts = await answer(self.api, "GET", "/o/v1/attempts", params={"lineage": LINEAGE})
        return next((a for a in attempts if a["id"] == attempt_id), None)

    def _tell_events(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            if event["gate"]:
                self.tell(f"  {event['gate']:<9} {event['message']}")

    async def _kill_stable_worker(self) -> None:
        instances = await answer(self.api, "GET", "/o/v1/instances")
        stable = next(
            i
            for i in instances
            if i["role"] == "stable" and i["status"] == "ready" and i["lineage"] == LINEAGE
        )
        pid = await asyncio.to_thread(kill_worker, stable)
        self.tell(f"[red]SIGKILL stable worker {pid}[/]", "kill worker")

    async def _kill_bridge(self) -> None:
        pid = await self.installation.child_pid("bridge")
        kill(pid)
        self.tell(f"[red]SIGKILL bridge {pid}[/]", "kill bridge")

    async def _kill_control_plane(self) -> None:
        pid = await self.installation.child_pid("control")
        kill(pid)
        self.tell(f"[red]SIGKILL control plane {pid}[/]", "kill control")
