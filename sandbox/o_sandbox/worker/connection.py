"""The worker's end of the socket, blocking."""

from __future__ import annotations

import os
import socket
from typing import Final, Protocol

from o_sandbox.worker import wire

_CHUNK: Final = 64 * 1024
"""Room that every read makes first: for much more, memory would be mapped and given back."""


def silence() -> None:
    """Let nothing more reach the host's own error output, which no limit of a call bounds.

    Standard output leads nowhere from the start. What the interpreter reports on its own (errors
    in destructors, for one) would go there at a guest's will.
    """
    os.dup2(1, 2)


class HostGoneError(Exception):
    """The other end of the socket is closed."""


class Host(Protocol):
    """The host, as guest code needs it."""

    def send(self, message: wire.FromWorker) -> None:
        """Send one message."""

    def receive(self) -> wire.ToWorker:
        """Wait for the next message."""


class Connection:
    """Frames over a blocking socket; a `Host`."""

    def __init__(self, descriptor: int) -> None:
        """Speak over the connected socket `descriptor`."""
        self._socket = socket.socket(fileno=descriptor)
        self._held = bytearray()

    def send(self, message: wire.FromWorker) -> None:
        """Send one message."""
        self._socket.sendall(wire.framed(message))

    def receive(self) -> wire.ToWorker:
        """The next message.

        Raises:
            HostGoneError: there is none any more.
        """
        (size,) = wire.HEADER.unpack(self._taken(wire.HEADER.size))
        message: wire.ToWorker = wire.to_worker.decode(self._taken(size))
        return message

    def _taken(self, size: int) -> bytes:
        """The next bytes; what is read besides waits for the next time."""
        while len(self._held) < size:
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                raise HostGoneError
            self._held += chunk
        taken = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        return taken
