"""Readiness probes: one non-blocking try at a time, on Unix sockets."""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from o_platform.supervisor.spec import Probe, ProbeKind

TRY_TIMEOUT_S = 2.0
"""A connection that was accepted but not answered is given up after this."""


def pause_s(waited_s: float) -> float:
    """How long to wait before the next try, after `waited_s` seconds without success."""
    if waited_s < 1.0:
        return 0.003
    return 0.02 if waited_s < 5.0 else 0.1


@dataclass(slots=True)
class Try:
    """One try: over at once (`ready` is set), or waiting for an answer on `connection`."""

    probe: Probe
    ready: bool | None = None
    connection: socket.socket | None = None

    def read(self) -> None:
        """Take the answer that arrived."""
        if self.connection is None:
            return
        try:
            answer = self.connection.recv(64)
        except BlockingIOError:
            return
        except OSError:
            answer = b""
        self.ready = _accepts(self.probe.kind, answer)
        self.close()

    def close(self) -> None:
        """Give the try up."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.ready = bool(self.ready)


def start_try(probe: Probe) -> Try:
    """Ask once."""
    if probe.kind is ProbeKind.FILE:
        return Try(probe, ready=Path(probe.path).exists())
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    current = Try(probe, connection=connection)
    error = connection.connect_ex(probe.path)
    if error or probe.kind is ProbeKind.CONNECT:
        current.ready = error == 0
        current.close()
        return current
    try:
        connection.sendall(_request(probe))
    except OSError:
        current.close()
    return current


def _request(probe: Probe) -> bytes:
    if probe.kind is ProbeKind.HTTP:
        return f"GET {probe.request} HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n".encode()
    parameters = b"user\0postgres\0database\0postgres\0\0"
    return struct.pack("!ii", 8 + len(parameters), 196608) + parameters


def _accepts(kind: ProbeKind, answer: bytes) -> bool:
    if kind is ProbeKind.HTTP:
        return answer.startswith(b"HTTP/1.") and answer[9:10] == b"2"
    return answer[:1] == b"R"


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
