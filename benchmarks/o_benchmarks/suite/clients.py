"""Clients for measuring outages: plain HTTP/1.1 on kept-alive connections, without any retry.

An SDK would hide what is to be measured (it repeats), and cost more than the turn itself.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

ANSWER_LIMIT_S: Final = 20.0
_BROKEN: Final = (OSError, EOFError, TimeoutError, ValueError)
"""What a connection that breaks, or an answer that is none, ends in."""


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port of a listener."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request."""

    status: int
    body: bytes


class Client:
    """One connection, made when it is needed and made anew after it broke."""

    def __init__(self, address: Address) -> None:
        """Connects at the first request."""
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request and read its answer.

        Raises:
            OSError, EOFError, TimeoutError, ValueError: the connection broke, or was refused.
        """
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                reader, writer = await self._connected()
                writer.write(request)
                return await _read_answer(reader)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address.host, self._address.port)
        return self._streams


def get(path: str) -> bytes:
    """A request for a resource."""
    return f"GET {path} HTTP/1.1\r\nhost: o\r\n\r\n".encode()


def turn(agent_id: str, text: str) -> bytes:
    """A request for a turn."""
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    head = (
        f"POST /v1/agents/{agent_id}/messages HTTP/1.1\r\nhost: o\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def first_success(address: Address, requests: Sequence[bytes]) -> float:
    """Ask, each time with the next request, until one is answered 200; the seconds that took."""
    began = time.perf_counter()
    client = Client(address)
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            for request in itertools.cycle(requests):
                try:
                    if (await client.ask(request)).status == 200:
                        break
                except _BROKEN:
                    client.close()
                await asyncio.sleep(0.001)
    finally:
        client.close()
    return time.perf_counter() - began


@dataclass(slots=True)
class Tally:
    """What the clients of a steady load saw."""

    sent: int = 0
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


class SteadyTurns:
    """Sends turns at a steady rate over some connections until it is stopped.

    Each connection sends at fixed times, whatever the answers take (late ones make it send at
    once). Every turn says a text of its own, so that one which ran twice shows in the database.
    """

    def __init__(
        self,
        address: Address,
        agents: Sequence[str],
        name: str,
        *,
        rate_rps: float,
        connections: int = 16,
    ) -> None:
        """Sends nothing before `run`. `name` is part of every text."""
        self._address = address
        self._agents = agents
        self._name = name
        self._interval_s = connections / rate_rps
        self._connections = connections
        self._numbers = itertools.count()
        self._stopping = asyncio.Event()
        self.tally = Tally()

    async def run(self) -> None:
        """Send until `stop`, and wait for the last answers."""
        async with asyncio.TaskGroup() as tasks:
            for place in range(self._connections):
                tasks.create_task(self._converse(place * self._interval_s / self._connections))

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()

    def take(self) -> Tally:
        """What was seen since the last time."""
        tally, self.tally = self.tally, Tally()
        return tally

    async def _converse(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        client = Client(self._address)
        while not await self._stopped_before(due):
            await self._send(client)
            due = max(due + self._interval_s, loop.time())
        client.close()

    async def _send(self, client: Client) -> None:
        number = next(self._numbers)
        agent_id = self._agents[number % len(self._agents)]
        request = turn(agent_id, f"turn {self._name} {number}")
        began = time.perf_counter()
        self.tally.sent += 1
        try:
            answer = await client.ask(request)
        except _BROKEN as error:
            self.tally.failures.append(f"{type(error).__name__}: {error}")
            return
        if answer.status != 200:
            self.tally.failures.append(f"{answer.status}: {answer.body[:200].decode()}")
            return
        self.tally.answered += 1
        self.tally.slowest_s = max(self.tally.slowest_s, time.perf_counter() - began)

    async def _stopped_before(self, due: float) -> bool:
        try:
            async with asyncio.timeout_at(due):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    length = head.partition("\r\ncontent-length:")[2].partition("\r\n")[0]
    return Answer(status, await reader.readexactly(int(length)))
