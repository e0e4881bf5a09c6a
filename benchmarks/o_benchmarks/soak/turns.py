"""The turns of a soak: plain ones, streams, background runs, conversations, memory edits."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Final

import httpx

CLIENTS: Final = 8
AGENTS: Final = 8
LIMIT_S: Final = 60.0


class Soak:
    """Sends turns, `CLIENTS` at a time."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """`client` reaches the platform, as a client who may do that."""
        self._client = client
        self._numbers = itertools.count()
        self._agents: list[str] = []
        self._threads: list[str] = []

    async def prepare(self) -> None:
        """Make the agents and a conversation of each."""
        for _ in range(AGENTS):
            blocks = [{"label": "human", "value": "Somebody who measures."}]
            body = {"name": "soak", "model": "o/scripted", "memory_blocks": blocks}
            self._agents.append((await self._ask("POST", "/v1/agents", body)).json()["id"])
            path = f"/v1/conversations?agent_id={self._agents[-1]}"
            self._threads.append((await self._ask("POST", path, {})).json()["id"])

    async def send(self, turns: int) -> None:
        """So many turns, each answered.

        Raises:
            httpx.HTTPError: one was not.
        """
        due = iter(range(turns))
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(self._converse(due.__next__))

    async def _converse(self, take: Callable[[], int]) -> None:
        while True:
            try:
                take()
            except StopIteration:
                return
            await self._turn(next(self._numbers))

    async def _turn(self, number: int) -> None:
        agent = self._agents[number % AGENTS]
        messages = f"/v1/agents/{agent}/messages"
        said: dict[str, Any] = {"input": f"turn {number}"}
        match number // AGENTS % 5:
            case 0:
                await self._ask("POST", messages, said)
            case 1:
                await self._ask("POST", f"{messages}/stream", said | {"stream_tokens": True})
            case 2:
                thread = self._threads[number % AGENTS]
                await self._ask("POST", f"/v1/conversations/{thread}/messages", said)
            case 3:
                fact = {"input": f"remember that {number} was here"}
                await self._ask("POST", messages, fact)
                if number // AGENTS % 100 == 3:
                    path = f"/v1/agents/{agent}/core-memory/blocks/human"
                    await self._ask("PATCH", path, {"value": "Somebody who measures."})
            case _:
                run = (await self._ask("POST", f"{messages}/async", said)).json()["id"]
                await self._ask("POST", f"/v1/runs/{run}/stream", {})

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = await self._client.request(method, path, json=body, timeout=LIMIT_S)
        if answer.is_error or b'"error_message"' in answer.content:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {answer.status_code} {answer.text[:500]}",
                request=answer.request, response=answer,
            )  # fmt: skip
        return answer
