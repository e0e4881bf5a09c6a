"""Talks to one instance over its own socket, as Envoy does; used by the contract gate."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from o_contracts.ids import BENCH_LINEAGE_KEY, new_agent_id

TURN_TIMEOUT_S: Final = 20.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024


class ContractError(Exception):
    """The instance does not behave as every instance must; the message says how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: its JSON (a stream: its events as messages) and what was said in it."""

    data: dict[str, Any]
    reply: str
    stop_reason: str | None


class Conversation:
    """Turns with one agent of a bench instance; the agent exists in the bridge's memory only."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """A new agent; `client` is connected to the instance's socket."""
        self._client = client
        self._path = f"/v1/agents/{new_agent_id(BENCH_LINEAGE_KEY)}/messages"

    async def say(
        self, text: str, *, model: str | None = None, max_steps: int | None = None
    ) -> Answer:
        """One turn, answered as a whole.

        Raises:
            ContractError: no answer in time, a broken one, not 200, or not valid JSON.
        """
        response = await self._send(self._path, _turn(text, model, max_steps))
        if response.status_code != 200:
            raise ContractError(f"a turn got status {response.status_code}: {response.text[:200]}")
        return _answer_of_json(response)

    async def stream(self, text: str, *, model: str | None = None) -> Answer:
        """One turn, answered as server-sent events.

        Raises:
            ContractError: as `say`, or events that do not end as the API says.
        """
        response = await self._send(f"{self._path}/stream", _turn(text, model, None))
        if response.status_code != 200:
            raise ContractError(f"a streaming turn got status {response.status_code}")
        return _answer_of_events(response.text)

    async def post_raw(self, body: bytes) -> int:
        """Send bytes that need not be JSON; returns the status.

        Raises:
            ContractError: no answer in time, or a broken one.
        """
        return (await self._send(self._path, body)).status_code

    async def _send(self, path: str, body: bytes) -> httpx.Response:
        headers = {"content-type": "application/json"}
        try:
            response = await self._client.post(path, content=body, headers=headers)
        except httpx.TimeoutException as error:
            raise ContractError(f"no answer within {TURN_TIMEOUT_S:g} s") from error
        except httpx.HTTPError as error:
            raise ContractError(f"the connection broke: {error or type(error).__name__}") from error
        if len(response.content) > MAX_ANSWER_BYTES:
            raise ContractError(f"an answer of {len(response.content)} bytes")
        return response


@asynccontextmanager
async def connect(socket: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the instance that listens on `socket`.

    Raises:
        ContractError: there is something else than a socket, such as a link to elsewhere.
    """
    _check_socket(socket)
    # Nothing to verify on a Unix socket, and loading certificates takes a while.
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://instance", timeout=TURN_TIMEOUT_S
    ) as client:
        yield client


def _check_socket(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise ContractError(f"its socket is gone: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise ContractError("its socket was replaced by something else")


def _turn(text: str, model: str | None, max_steps: int | None) -> bytes:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    optional = {"override_model": model, "max_steps": max_steps}
    body |= {name: value for name, value in optional.items() if value is not None}
    return json.dumps(body).encode()


def _answer_of_json(response: httpx.Response) -> Answer:
    try:
        data = response.json()
    except ValueError as error:
        raise ContractError(f"an answer is not JSON: {response.text[:200]!r}") from error
    messages = data.get("messages") if isinstance(data, dict) else None
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        raise ContractError(f"an answer has no list of messages: {response.text[:200]!r}")
    return Answer(data, _reply(messages), _stop_reason(data.get("stop_reason")))


def _answer_of_events(text: str) -> Answer:
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    if not lines or lines[-1] != "[DONE]":
        raise ContractError("a stream did not end with [DONE]")
    try:
        events = [json.loads(line) for line in lines[:-1]]
    except ValueError as error:
        raise ContractError("an event of a stream is not JSON") from error
    if not all(isinstance(event, dict) for event in events):
        raise ContractError("an event of a stream is not an object")
    stops = [event for event in events if event.get("message_type") == "stop_reason"]
    reason = _stop_reason(stops[-1]) if stops else None
    return Answer({"messages": events}, _reply(events), reason)


def _stop_reason(value: Any) -> str | None:
    reason = value.get("stop_reason") if isinstance(value, dict) else None
    return reason if isinstance(reason, str) else None


def _reply(messages: list[dict[str, Any]]) -> str:
    said = [m.get("content") for m in messages if m.get("message_type") == "assistant_message"]
    return "".join(text if isinstance(text, str) else json.dumps(text) for text in said)
