"""Steady client load: turns of several hundred agents through the real SDK, without its retries."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import httpx
from letta_client import APIError, AsyncLetta

TURN_TIMEOUT_S = 20.0
CONVERSATIONS = 8
"""Agents created, and conversations held, at the same time."""
TALK = (
    "please remember that the shipment of garden chairs to the harbour office is late again, that "
    "the customer asked twice for a discount, and that somebody should call her before Friday noon"
)
"""What a client says besides the number of its turn: a history of such texts costs tokens."""


@dataclass(slots=True)
class Tally:
    """What the clients saw. Latencies in seconds, in order of completion."""

    sent: int = 0
    ok: int = 0
    failures: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def percentile_ms(self, share: float) -> float:
        """The latency below which this share (0 … 1) of the answered turns lay, in milliseconds."""
        if not self.latencies:
            return float("nan")
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class SteadyLoad:
    """Sends `rate` turns per second, round robin over the agents, until it is stopped.

    Open loop: a slow server does not slow the sender down. Each turn carries a text of its own, so
    one that ran twice shows in the database; each answer must contain that text.
    """

    def __init__(self, base_url: str, agents: int, rate: float) -> None:
        """Nothing is sent before `prepare` and `run`."""
        limits = httpx.Limits(max_connections=256, max_keepalive_connections=64)
        self._http = httpx.AsyncClient(limits=limits, timeout=TURN_TIMEOUT_S)
        self._client = AsyncLetta(
            base_url=base_url, api_key="demo", max_retries=0, http_client=self._http
        )
        self._count = agents
        self._interval_s = 1 / rate
        self._agents: list[str] = []
        self._stopping = asyncio.Event()
        self.tally = Tally()

    async def prepare(self) -> None:
        """Create the agents."""
        gate = asyncio.Semaphore(CONVERSATIONS)

        async def create(number: int) -> str:
            async with gate:
                agent = await self._client.agents.create(
                    name=f"demo-{number}",
                    model="o/echo",
                    memory_blocks=[{"label": "human", "value": f"Client number {number}."}],
                )
                return agent.id

        self._agents = list(await asyncio.gather(*(create(n) for n in range(self._count))))

    async def warm_up(self, turns: int) -> None:
        """Let every agent have a conversation of this many turns, sent one after the other."""
        gate = asyncio.Semaphore(CONVERSATIONS)

        async def converse(agent_id: str) -> None:
            async with gate:
                for _ in range(turns):
                    number = self.tally.sent
                    self.tally.sent += 1
                    await self._turn(agent_id, number)

        await asyncio.gather(*(converse(agent_id) for agent_id in self._agents))

    async def run(self) -> None:
        """Send turns at the fixed rate until `stop`, then wait for those under way."""
        async with asyncio.TaskGroup() as turns:
            due = time.monotonic()
            while not self._stopping.is_set():
                number = self.tally.sent
                self.tally.sent += 1
                turns.create_task(self._turn(self._agents[number % len(self._agents)], number))
                due += self._interval_s
                await self._wait_until(due)

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()

    async def close(self) -> None:
        """Close the client's connections."""
        await self._http.aclose()

    async def _wait_until(self, due: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _turn(self, agent_id: str, number: int) -> None:
        text = f"turn {number}: {TALK}"
        began = time.monotonic()
        try:
            response = await self._client.agents.messages.create(agent_id, input=text)
        except APIError as error:
            self.tally.failures.append(f"{text}: {type(error).__name__}: {error}"[:300])
            return
        answers = [getattr(message, "content", None) for message in response.messages]
        if not any(isinstance(answer, str) and text in answer for answer in answers):
            self.tally.failures.append(f"{text}: answered {answers!r}"[:300])
            return
        self.tally.ok += 1
        self.tally.latencies.append(time.monotonic() - began)
