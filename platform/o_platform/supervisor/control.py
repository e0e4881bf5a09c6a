"""The control socket: one JSON object a line, in both directions.

| request | answer |
|---|---|
| `{"op": "status"}` | `{"ok": true, "status": {…}}` |
| `{"op": "stop", "reason": "…"}` | `{"ok": true}`; the connection closes when all is stopped |
| `{"op": "restart", "name": "…"}` | `{"ok": true}` |
| `{"op": "events", "tail": 20, "follow": false}` | `{"event": {…}}` each, then `{"ok": true}` |

What is wrong with a request is answered with `{"ok": false, "error": "…"}`.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

_MAX_REQUEST_BYTES = 64 * 1024
_MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""A follower that reads slower than this is disconnected."""

Callback = Callable[[int], None]


class Operations(Protocol):
    """What the control socket can ask for."""

    def status(self) -> dict[str, Any]:
        """The present state, JSON-ready."""
        ...

    def stop(self, reason: str) -> None:
        """Stop everything and exit."""
        ...

    def restart(self, name: str) -> None:
        """Restart one child.

        Raises:
            KeyError: there is no such child.
            ValueError: it is not of a kind that restarts.
        """
        ...

    def recent_events(self) -> list[dict[str, Any]]:
        """The newest events, oldest first."""
        ...


@dataclass(slots=True)
class _Client:
    connection: socket.socket
    received: bytes = b""
    unsent: bytes = b""
    follows: bool = False
    events: int = field(default=selectors.EVENT_READ)


class ControlServer:
    """Serves `listener` from the selector of the supervisor's loop."""

    def __init__(
        self, listener: socket.socket, selector: selectors.BaseSelector, operations: Operations
    ) -> None:
        """Registers itself; `selector`'s data are callbacks that take the event mask."""
        self._listener = listener
        self._selector = selector
        self._operations = operations
        self._clients: list[_Client] = []
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def publish(self, event: dict[str, Any]) -> None:
        """Send an event to all that follow."""
        for client in [client for client in self._clients if client.follows]:
            self._send(client, {"event": event})

    def close(self) -> None:
        """Close every connection, as far as the answers can still be delivered."""
        for client in list(self._clients):
            self._drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()

    def _accept(self, _mask: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        client = _Client(connection)
        self._clients.append(client)
        self._selector.register(connection, client.events, self._callback(client))

    def _callback(self, client: _Client) -> Callback:
        def ready(mask: int) -> None:
            if mask & selectors.EVENT_WRITE:
                self._flush(client)
            if mask & selectors.EVENT_READ and client in self._clients:
                self._read(client)

        return ready

    def _read(self, client: _Client) -> None:
        try:
            data = client.connection.recv(_MAX_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.received += data
        if not data or len(client.received) > _MAX_REQUEST_BYTES:
            self._drop(client)
            return
        *lines, client.received = client.received.split(b"\n")
        for line in lines:
            self._serve(client, line)

    def _serve(self, client: _Client, line: bytes) -> None:
        try:
            request = json.loads(line)
            self._answer(client, request)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"unknown child {error}" if isinstance(error, KeyError) else str(error)
            self._send(client, {"ok": False, "error": problem})

    def _answer(self, client: _Client, request: dict[str, Any]) -> None:
        match request.get("op"):
            case "status":
                self._send(client, {"ok": True, "status": self._operations.status()})
            case "stop":
                self._send(client, {"ok": True})
                self._operations.stop(str(request.get("reason", "asked to")))
            case "restart":
                self._operations.restart(str(request.get("name")))
                self._send(client, {"ok": True})
            case "events":
                self._send_events(client, int(request.get("tail", 20)), bool(request.get("follow")))
            case unknown:
                raise ValueError(f"unknown op {unknown!r}; one of status, stop, restart, events")

    def _send_events(self, client: _Client, tail: int, follow: bool) -> None:
        events = self._operations.recent_events()
        for event in events[max(0, len(events) - tail) :]:
            self._send(client, {"event": event})
        if follow:
            client.follows = True
        else:
            self._send(client, {"ok": True})

    def _send(self, client: _Client, message: dict[str, Any]) -> None:
        client.unsent += json.dumps(message).encode() + b"\n"
        self._flush(client)

    def _flush(self, client: _Client) -> None:
        if client not in self._clients:
            return
        try:
            sent = client.connection.send(client.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        client.unsent = client.unsent[sent:]
        if len(client.unsent) > _MAX_UNSENT_BYTES:
            self._drop(client)
            return
        self._watch(client)

    def _watch(self, client: _Client) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
        if events != client.events:
            client.events = events
            self._selector.modify(client.connection, events, self._callback(client))

    def _drop(self, client: _Client) -> None:
        self._clients.remove(client)
        self._selector.unregister(client.connection)
        client.connection.close()
