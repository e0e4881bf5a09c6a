"""`python -m o_platform.cli.drain ADMIN_SOCKET`: lets Envoy finish what it serves, before it stops.

New connections are refused at once, connections without a request are closed, and this returns when
no request is under way any more. The supervisor bounds the wait.
"""

from __future__ import annotations

import http.client
import socket
import sys
import time

_POLL_S = 0.02


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=2.0)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def main(arguments: list[str]) -> int:
    """Drain the Envoy with this admin socket; the exit code."""
    (path,) = arguments
    try:
        # Every answer from now on closes its connection; then no connection is accepted any more.
        _call(path, "POST", "/drain_listeners?graceful&skip_exit")
        _call(path, "POST", "/drain_listeners")
        while _active_requests(path):
            time.sleep(_POLL_S)
    except OSError as error:
        sys.stderr.write(f"Envoy's admin socket does not answer: {error}\n")
        return 1
    return 0


def _active_requests(path: str) -> int:
    text = _call(path, "GET", "/stats?filter=^http%5C..*downstream_rq_active$")
    lines = (line.partition(":") for line in text.splitlines())
    return sum(int(value) for name, _, value in lines if not name.startswith("http.admin."))


def _call(path: str, method: str, target: str) -> str:
    connection = _UnixConnection(path)
    try:
        connection.request(method, target)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
