"""The engines of the tiers `wasm` and `module`, as PID 1 of an instance keeps them.

An engine is a sibling of the workers: one of those that dies leaves it and its warm interpreters to
the next. It is started when a worker connects to its socket for the first time, since most
instances never need it, and again when one connects after it died. PID 1 owns the socket, so nobody
is refused meanwhile. The engine itself enters a jail before it takes a call
(`o_sandbox.engine.process`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from o_sandbox.cache import default_folder
from o_sandbox.engine.settings import EngineSettings, Guests
from o_sandbox.jail.libc import end_with_parent

CALLS: Final = 4
"""Calls at once; more wait."""
_MEGABYTE: Final = 1024 * 1024
_OOM_SCORE: Final = b"900"
"""Out of memory, the kernel takes the engine and not a worker: that fails tool calls, no turns."""
_BACKLOG: Final = 128

_log = logging.getLogger("o_agent.engine")


def settings(guests: Guests) -> EngineSettings:
    """An engine that fits into an instance's memory."""
    return EngineSettings(
        cache=str(default_folder()),
        guests=guests,
        idle=CALLS if guests == "python" else 0,
        calls=CALLS,
        memory_bytes=96 * _MEGABYTE,
        resident_bytes=0 if guests == "python" else _MEGABYTE // 2,
    )


class Engine:
    """The socket, and the process while it lives."""

    def __init__(self, guests: Guests) -> None:
        """Listen, and start nothing yet."""
        self._guests: Guests = guests
        self._folder = Path(tempfile.mkdtemp(prefix=f"o-{guests}-"))
        self.path = self._folder / "engine.sock"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(_BACKLOG)
        self.pid: int | None = None
        self._status_fd = -1

    @property
    def descriptors(self) -> list[int]:
        """What is PID 1's alone: a worker closes them."""
        return [self.listener.fileno(), *([self._status_fd] if self._status_fd >= 0 else [])]

    def start(self, unused: Iterable[int]) -> None:
        """Fork the process, which closes the descriptors `unused`.

        Raises:
            OSError: no process can be made.
        """
        status_read, status_write = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(status_read)
            os.close(status_write)
            raise
        if pid == 0:
            for fd in (*unused, status_read):
                os.close(fd)
            _be_engine(self._guests, self.listener, status_write)
        os.close(status_write)
        self.pid, self._status_fd = pid, status_read
        _log.info("the engine of %s starts", self._guests, extra={"engine": pid})

    def note_death(self, reason: str) -> None:
        """It ended; one that never served must not keep those who wait for it."""
        had_served = bool(os.read(self._status_fd, 1))
        os.close(self._status_fd)
        self._status_fd = -1
        _log.error("the engine of %s died: %s", self._guests, reason, extra={"engine": self.pid})
        self.pid = None
        if not had_served:
            self.refuse_waiting()

    def kill(self) -> None:
        """End the process at once."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Remove the socket."""
        self.listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def refuse_waiting(self) -> None:
        """Hang up on those who wait for an engine that cannot be had."""
        self.listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
        self.listener.setblocking(True)


def _be_engine(guests: Guests, listener: socket.socket, status_fd: int) -> None:
    """In the child: never returns."""
    try:
        end_with_parent(signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # PID 1 ends it, after the worker's last turn
        name = f"o-{guests}".encode()
        for file, value in (("oom_score_adj", _OOM_SCORE), ("comm", name)):
            with contextlib.suppress(OSError):  # a nicety that a hardened /proc may refuse
                Path(f"/proc/self/{file}").write_bytes(value)
        # Of what an engine maps for its tables most is never touched, and counts all the same.
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        from o_sandbox.engine.process import serve

        serve(settings(guests), listener, status_fd)
    except BaseException:  # noqa: BLE001 - logged at the edge of the process, which ends here
        _log.exception("the engine failed")
    finally:
        os._exit(1)
