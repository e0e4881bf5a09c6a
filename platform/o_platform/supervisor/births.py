"""Asking a zygote for processes: both ends of one connection for each.

| who | what |
|---|---|
| supervisor | one line of JSON (the launch), with descriptors: output, listening socket if any |
| new process | its id as one line, once it is the supervisor's child |
| supervisor | one byte: begin |

Whoever finds the connection closed gives up: the supervisor takes the process as not started, and a
process ends that was not told to begin. So none runs that the supervisor does not know of, whoever
is killed in between.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
from collections.abc import Callable

from o_platform.supervisor.process import Launch

_BEGIN = b"."
_MAX_REQUEST_BYTES = 128 * 1024
_REQUEST_S = 5.0
_ID_BYTES = 32


class Births:
    """The processes that zygotes were asked for and that have not begun yet."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        on_born: Callable[[str, int], bool],
        on_failed: Callable[[str, str], None],
    ) -> None:
        """`on_born` takes name and process id, and says whether it may begin."""
        self._selector = selector
        self._on_born = on_born
        self._on_failed = on_failed
        self._asked: dict[str, socket.socket] = {}

    def ask(self, name: str, path: str, launch: Launch) -> None:
        """Ask the zygote that listens, or will listen, at `path`; a former question is taken back.

        Raises:
            OSError: it cannot be asked.
        """
        self._forget(name)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(path)
            _send(connection, launch)
        except OSError:
            connection.close()
            raise
        self._asked[name] = connection
        self._selector.register(
            connection, selectors.EVENT_READ, lambda _mask: self._answered(name, connection)
        )

    def close(self) -> None:
        """Take every question back."""
        for name in list(self._asked):
            self._forget(name)

    def _answered(self, name: str, connection: socket.socket) -> None:
        if self._asked.get(name) is not connection:
            # Taken back since the selector saw it.
            return
        try:
            answer = connection.recv(_ID_BYTES)
        except OSError:
            answer = b""
        if answer and self._on_born(name, int(answer)):
            connection.send(_BEGIN)
        self._forget(name)
        if not answer:
            self._on_failed(name, "it, or its zygote, ended before it could begin")

    def _forget(self, name: str) -> None:
        connection = self._asked.pop(name, None)
        if connection is not None:
            self._selector.unregister(connection)
            connection.close()


def receive(connection: socket.socket) -> Launch:
    """The launch that a supervisor asks for on this connection.

    Raises:
        OSError: the connection broke.
        ValueError: it is not one.
    """
    connection.settimeout(_REQUEST_S)
    data, descriptors, _, _ = socket.recv_fds(connection, _MAX_REQUEST_BYTES, 2)
    try:
        while data and not data.endswith(b"\n") and len(data) < _MAX_REQUEST_BYTES:
            more = connection.recv(_MAX_REQUEST_BYTES)
            if not more:
                break
            data += more
        connection.settimeout(None)
        return _launch(data, descriptors)
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def introduce(connection: int) -> bool:
    """Tell the supervisor this process's id; whether it may begin."""
    os.write(connection, f"{os.getpid()}\n".encode())
    return os.read(connection, 1) == _BEGIN


def _send(connection: socket.socket, launch: Launch) -> None:
    request = {
        "command": launch.command,
        "env": launch.env,
        "uid": launch.uid,
        "gid": launch.gid,
        "oom_score_adj": launch.oom_score_adj,
        "death_signal": launch.death_signal.name,
    }
    data = json.dumps(request).encode() + b"\n"
    descriptors = [launch.output_fd] + ([] if launch.listen_fd is None else [launch.listen_fd])
    if socket.send_fds(connection, [data], descriptors) != len(data):
        raise OSError(f"the environment takes {len(data)} bytes, more than fit into a request")


def _launch(data: bytes, descriptors: list[int]) -> Launch:
    request = json.loads(data)
    return Launch(
        tuple(request["command"]),
        request["env"],
        output_fd=descriptors[0],
        listen_fd=descriptors[1] if len(descriptors) > 1 else None,
        uid=request["uid"],
        gid=request["gid"],
        oom_score_adj=request["oom_score_adj"],
        death_signal=signal.Signals[request["death_signal"]],
    )
