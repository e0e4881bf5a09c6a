"""Sends turns to agents on behalf of the control plane, through Envoy like everybody's.

Envoy's internal listener trusts whoever can open its socket, so the caller's name and the request's
id are handed on: a repeated request is recognised by them, and runs once.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from o_contracts.ids import is_conversation
from o_platform.errors import UnavailableError

CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_S: Final = 300.0
"""Longest silence of a turn; Envoy's own limit on it is the same."""
MAX_CONNECTIONS: Final = 2048


class TurnRefusedError(Exception):
    """The turn has no outcome; `status` and `code` are what its client would have been told."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """`message` says what happened."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Sender:
    """For whom a turn is sent. `sdk_retry` counts a client's own repetitions (0 = first)."""

    client: str
    request_id: str
    sdk_retry: int = 0

    def headers(self) -> dict[str, str]:
        """What tells the instance and the bridge."""
        named = {"x-o-client": self.client, "x-stainless-retry-count": str(self.sdk_retry)}
        return named | ({"x-request-id": self.request_id} if self.request_id else {})


class TurnClient:
    """A pool of connections to Envoy's internal socket."""

    def __init__(self, socket: Path) -> None:
        """Nothing connects yet."""
        limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=64)
        # Nothing to verify on a Unix socket, and loading certificates takes a while.
        transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=limits, verify=False)
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_TIMEOUT_S)
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://internal", timeout=timeout
        )

    async def send(self, agent_id: str, body: Mapping[str, Any], sender: Sender) -> dict[str, Any]:
        """Run a turn; the body of its response.

        Raises:
            TurnRefusedError: it was answered with another status than 200.
            UnavailableError: Envoy does not answer.
        """
        path = f"/v1/agents/{agent_id}/messages"
        try:
            answer = await self._client.post(path, json=body, headers=sender.headers())
        except httpx.TransportError as error:
            raise _away(error) from error
        if answer.status_code != HTTPStatus.OK:
            raise _refusal(answer)
        turn: dict[str, Any] = answer.json()
        return turn

    async def post(self, path: str, body: Mapping[str, Any], sender: Sender) -> httpx.Response:
        """Ask an instance; the response as it comes, not read yet, for whoever asked. Close it.

        Raises:
            UnavailableError: Envoy does not answer.
        """
        request = self._client.build_request("POST", path, json=body, headers=sender.headers())
        try:
            return await self._client.send(request, stream=True)
        except httpx.TransportError as error:
            raise _away(error) from error

    @asynccontextmanager
    async def stream(
        self, agent_id: str, body: Mapping[str, Any], sender: Sender
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Run a turn; its events as they come. Leaving the context early abandons the turn.

        Raises:
            TurnRefusedError: it was refused before its first event.
            UnavailableError: Envoy does not answer.
        """
        path = f"/v1/agents/{agent_id}/messages/stream"
        request = self._client.build_request("POST", path, json=body, headers=sender.headers())
        async with self._answered(request) as answer:
            yield _events(answer)

    async def drive(self, thread_id: str, body: str, sender: Sender) -> None:
        """Run a background turn; returns when its stream has ended as streams end.

        Raises:
            TurnRefusedError: it was refused, failed, or its stream broke off (status 502).
            UnavailableError: Envoy does not answer.
        """
        path = (
            f"/v1/conversations/{thread_id}/messages"
            if is_conversation(thread_id)
            else f"/v1/agents/{thread_id}/messages/stream"
        )
        headers = {"content-type": "application/json", **sender.headers()}
        request = self._client.build_request("POST", path, content=body, headers=headers)
        async with self._answered(request) as answer:
            await _read_to_end(answer)

    @asynccontextmanager
    async def _answered(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """The answer to a request for a stream, which is not read yet."""
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.TransportError as error:
            raise _away(error) from error
        try:
            if answer.status_code != HTTPStatus.OK:
                await answer.aread()
                raise _refusal(answer)
            yield answer
        finally:
            await answer.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    try:
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                yield json.loads(line[6:])
    except httpx.TransportError as error:
        raise _away(error) from error


async def _read_to_end(answer: httpx.Response) -> None:
    failed: TurnRefusedError | None = None
    try:
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                if failed is not None:
                    raise failed
                return
            if line.startswith("data: ") and '"error_message"' in line:
                failed = _told_failure(json.loads(line[6:])) or failed
    except httpx.TransportError as error:
        raise _away(error) from error
    raise TurnRefusedError(HTTPStatus.BAD_GATEWAY, "broken_off", "the stream broke off")


def _told_failure(event: dict[str, Any]) -> TurnRefusedError | None:
    if event.get("message_type") != "error_message":
        return None
    code, message = str(event.get("error_type")), str(event.get("message"))
    return TurnRefusedError(HTTPStatus.BAD_GATEWAY, code, message)


def _away(error: httpx.TransportError) -> UnavailableError:
    return UnavailableError(f"the agent's instance cannot be reached ({error!r}); try again")


def _refusal(answer: httpx.Response) -> TurnRefusedError:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    detail = body.get("detail") if isinstance(body, dict) else None
    code = body.get("code", "turn_refused") if isinstance(body, dict) else "turn_refused"
    message = detail if isinstance(detail, str) else json.dumps(detail or answer.text[:500])
    return TurnRefusedError(answer.status_code, str(code), message)
