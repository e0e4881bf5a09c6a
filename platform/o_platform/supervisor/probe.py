"""Readiness probes: one non-blocking try at a time, on Unix sockets."""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from o_platform.supervisor.spec import Probe, ProbeKind

TRY_TIMEOUT_S = 2.0
"""A connection that was accepted but not answered is given up after this."""
_STATUS_LINE_BYTES = len("HTTP/1.1 2")
_READY_FOR_QUERY = b"Z\0\0\0\5I"
_TERMINATE = b"X\0\0\0\4"


def pause_s(kind: ProbeKind, waited_s: float) -> float:
    """How long to wait before the next try, after `waited_s` seconds without success."""
    if waited_s < 1.0:
        # PostgreSQL logs every session that it refuses.
        return 0.02 if kind is ProbeKind.POSTGRES else 0.003
    return 0.02 if waited_s < 5.0 else 0.1


@dataclass(slots=True)
class Try:
    """One try: over when `ready` is set, else waiting for an answer on `connection`."""

    probe: Probe
    ready: bool | None = None
    connection: socket.socket | None = None
    _answer: bytes = b""

    def read(self) -> None:
        """Take what arrived of the answer."""
        if self.connection is None:
            return
        try:
            data = self.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._answer += data
        self.ready = _judge(self.probe.kind, self._answer) if data else False
        if self.ready and self.probe.kind is ProbeKind.POSTGRES:
            with suppress(OSError):
                self.connection.send(_TERMINATE)

    def close(self) -> None:
        """Give the try up."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def start_try(probe: Probe) -> Try:
    """Ask once."""
    if probe.kind is ProbeKind.FILE:
        return Try(probe, ready=Path(probe.path).exists())
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    current = Try(probe, connection=connection)
    try:
        connection.connect(probe.path)
        if probe.kind is ProbeKind.CONNECT:
            current.ready = True
        else:
            connection.sendall(_request(probe))
    except OSError:
        current.ready = False
    if current.ready is not None:
        current.close()
    return current


def _request(probe: Probe) -> bytes:
    if probe.kind is ProbeKind.HTTP:
        return f"GET {probe.request} HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n".encode()
    parameters = b"user\0postgres\0database\0postgres\0\0"
    return struct.pack("!ii", 8 + len(parameters), 196608) + parameters


def _judge(kind: ProbeKind, answer: bytes) -> bool | None:
    """Whether an answer is a good one; None: there is more to come."""
    if kind is ProbeKind.HTTP:
        return answer[9:10] == b"2" if len(answer) > _STATUS_LINE_BYTES else None
    if not answer.startswith(b"R"):
        return False
    # A session that is left before it is ready is a complaint in the server's log.
    return True if _READY_FOR_QUERY in answer else None


def listen(path: str, *, mode: int, backlog: int = 128) -> socket.socket:
    """A listening Unix socket at `path`, in place of one left over.

    Raises:
        OSError: another process listens there, or the folder is not writable.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if listener.connect_ex(path) not in (errno.ENOENT, errno.ECONNREFUSED):
        listener.close()
        raise OSError(errno.EADDRINUSE, f"another process listens on {path}")
    Path(path).unlink(missing_ok=True)
    listener.close()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    previous = os.umask(0o777 & ~mode)
    try:
        listener.bind(path)
    finally:
        os.umask(previous)
    listener.listen(backlog)
    return listener
