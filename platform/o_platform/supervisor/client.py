"""Talks to a running supervisor over its control socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class SupervisorDownError(ConnectionError):
    """No supervisor answers on this socket."""


class SupervisorRefusedError(RuntimeError):
    """The supervisor answered that it cannot."""


class SupervisorClient:
    """One supervisor, by the path of its socket. Every call is a connection of its own."""

    def __init__(self, path: Path, *, timeout_s: float = 10.0) -> None:
        """`timeout_s` bounds the wait for each line of an answer."""
        self._path = path
        self._timeout_s = timeout_s

    def status(self) -> dict[str, Any]:
        """The supervisor's present state.

        Raises:
            SupervisorDownError: nobody answers.
        """
        status: dict[str, Any] = self._ask({"op": "status"})["status"]
        return status

    def restart(self, name: str) -> None:
        """Restart one child.

        Raises:
            SupervisorDownError: nobody answers.
            SupervisorRefusedError: there is no such child, or it cannot be restarted.
        """
        self._ask({"op": "restart", "name": name})

    def stop(self, reason: str, *, timeout_s: float) -> bool:
        """Stop everything and wait for it; whether it ended in time.

        Raises:
            SupervisorDownError: nobody answers.
        """
        with self._connect() as connection:
            _send(connection, {"op": "stop", "reason": reason})
            connection.settimeout(timeout_s)
            try:
                while connection.recv(4096):
                    pass
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        return True

    def events(self, *, tail: int = 20, follow: bool = False) -> Iterator[dict[str, Any]]:
        """The newest events, oldest first; with `follow`, then each as it happens, until the end.

        Raises:
            SupervisorDownError: nobody answers.
        """
        with self._connect() as connection:
            _send(connection, {"op": "events", "tail": tail, "follow": follow})
            connection.settimeout(None if follow else self._timeout_s)
            with connection.makefile("rb") as lines:
                for line in lines:
                    message = json.loads(line)
                    if "event" not in message:
                        return
                    yield message["event"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._connect() as connection:
            _send(connection, request)
            try:
                with connection.makefile("rb") as lines:
                    line = lines.readline()
            except TimeoutError:
                line = b""
        if not line:
            raise SupervisorDownError(f"the supervisor on {self._path} does not answer")
        answer: dict[str, Any] = json.loads(line)
        if not answer.get("ok"):
            raise SupervisorRefusedError(answer.get("error", "refused"))
        return answer

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_s)
        try:
            connection.connect(str(self._path))
        except OSError as error:
            connection.close()
            raise SupervisorDownError(f"no supervisor answers on {self._path}") from error
        return connection


def _send(connection: socket.socket, request: dict[str, Any]) -> None:
    connection.sendall(json.dumps(request).encode() + b"\n")
