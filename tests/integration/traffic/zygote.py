"""An instance for crash tests: this process holds the socket, a forked worker answers.

Usage: zygote.py SOCKET. The worker's process id is in SOCKET.pid; a killed one is replaced.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from o_platform.testing.envoy import Backend


class ZygoteBackend(Backend):
    """A backend on a socket that outlives it."""

    async def serve(self, listening: socket.socket) -> None:
        """Answer until killed."""
        await asyncio.start_unix_server(self._serve, sock=listening)
        await asyncio.Event().wait()


def main() -> None:
    path = Path(sys.argv[1])
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1024)
    while True:
        worker = os.fork()
        if worker == 0:
            asyncio.run(ZygoteBackend(f"worker {os.getpid()}", path).serve(listening))
        Path(f"{path}.new").write_text(str(worker))
        os.rename(f"{path}.new", f"{path}.pid")
        with suppress(ChildProcessError):
            os.waitpid(worker, 0)


main()
