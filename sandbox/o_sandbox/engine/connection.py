"""The engine's end of a connection: blocking, one call at a time.

Time-outs are kept by `poll` and a socket option: Python's own would need `ioctl`, which the jail
refuses.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Final

from msgspec import Struct

from o_sandbox.engine.call import Caller
from o_sandbox.wire import Answer, Ask, FrameError, Frames, Output, Run, ToEngine, frame

_CHUNK: Final = 64 * 1024
"""Room that every read makes first: for much more, memory would be mapped and given back."""
_SEND_PATIENCE: Final = struct.pack("@ll", 30, 0)
"""Seconds and microseconds that a caller may leave what it is sent unread."""


class ClosedError(Exception):
    """The other side has gone."""


class Connection:
    """Frames over a connected socket."""

    def __init__(self, peer: socket.socket) -> None:
        """Takes over `peer`."""
        self._peer = peer
        self._frames: Frames[ToEngine] = Frames(ToEngine)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_PATIENCE)
        self._input = select.poll()
        self._input.register(peer, select.POLLIN)
        self._hangup = select.poll()
        self._hangup.register(peer, select.POLLRDHUP)

    def next_run(self) -> Run:
        """The next call; answers that came too late for the last one are passed over.

        Raises:
            ClosedError: there is none.
            FrameError: what came is no frame.
        """
        while True:
            message = self._receive(None)
            if isinstance(message, Run):
                return message

    def send(self, message: Struct) -> None:
        """Send one message.

        Raises:
            ClosedError: nobody takes it.
        """
        try:
            self._peer.sendall(frame(message))
        except OSError as error:
            raise ClosedError(str(error)) from error

    def caller(self) -> Caller:
        """The other side, as a call sees it."""
        return Caller(self._send_output, self._ask, self._is_gone)

    def close(self) -> None:
        """Hang up."""
        self._peer.close()

    def _send_output(self, output: Output) -> None:
        try:
            self.send(output)
        except ClosedError:
            return  # `is_gone` ends the call

    def _ask(self, ask: Ask, patience_s: float) -> Answer | None:
        try:
            self.send(ask)
            message = self._receive(time.monotonic() + patience_s)
        except (ClosedError, FrameError, TimeoutError):
            return None
        return message if isinstance(message, Answer) else None

    def _is_gone(self) -> bool:
        return bool(self._hangup.poll(0))

    def _receive(self, deadline: float | None) -> ToEngine:
        while (message := self._frames.next()) is None:
            if deadline is not None:
                self._await_input(deadline - time.monotonic())
            self._frames.feed(self._read())
        return message

    def _await_input(self, patience_s: float) -> None:
        if not self._input.poll(max(0.0, patience_s) * 1000):
            raise TimeoutError

    def _read(self) -> bytes:
        try:
            data = self._peer.recv(_CHUNK)
        except OSError as error:
            raise ClosedError(str(error)) from error
        if not data:
            raise ClosedError("the caller closed the connection")
        return data
