"""A spare process that serves at once when the bridge is killed, until its successor is there.

Starting Python and importing the bridge takes most of a second. So the bridge forks a spare before
any event loop exists. The spare blocks on a pipe; when the bridge dies, however it dies, the pipe
ends and the spare serves. The bridge that is started next asks it to stop, once it has its own
imports behind it; turns under way are opened again by their instances. A spare that serves ends by
itself when the supervisor is gone or no successor comes.

Who serves holds the lock on one file, which the kernel releases at death: there are never two.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from o_platform.errors import NotReadyError

TAKE_OVER_S: Final = 15.0
"""Longest wait for the one who serves to stop; longer than its own wait for open commits."""
_LOOK_AGAIN_S: Final = 0.002
_ENOUGH: Final = b"."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spare:
    """The forked spare, from the bridge's side; `lifeline` is the pipe's writing end."""

    pid: int
    lifeline: int

    def dismiss(self) -> None:
        """Let the spare end, because the bridge stops on purpose."""
        try:
            os.write(self.lifeline, _ENOUGH)
        except BrokenPipeError:
            _log.warning("the spare was gone before the bridge")
        os.close(self.lifeline)
        os.waitpid(self.pid, 0)


def fork_spare() -> Spare | None:
    """Fork a spare; returns it, or None in the spare once the bridge is gone.

    Must be called before any thread or event loop exists. A spare that is dismissed never returns.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        return Spare(pid, writing)
    os.close(writing)
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.read(reading, 1) == _ENOUGH:
        os._exit(0)
    os.close(reading)
    signal.signal(signal.SIGINT, interrupt)
    return None


class ServingLock:
    """The lock of the one that serves; held until the process ends."""

    def __init__(self, path: Path) -> None:
        """Opens the file; not before a fork, as parent and child would share the lock."""
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, wait_s: float) -> bool:
        """Take the lock as soon as nobody has it; whether that was so within `wait_s` seconds."""
        deadline = time.monotonic() + wait_s
        while not self._try():
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_AGAIN_S)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)
        return True

    def take_over(self) -> None:
        """Take the lock; whoever serves is asked to stop.

        Raises:
            NotReadyError: it did not stop.
        """
        if self._try():
            self.take(0)
            return
        holder = self._holder()
        if holder is not None:
            _log.info("asking the spare to stop", extra={"pid": holder})
            os.kill(holder, signal.SIGTERM)
        if not self.take(TAKE_OVER_S):
            raise NotReadyError(
                f"another bridge (process {holder}) serves and does not stop; end it first",
                pid=holder,
            )

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(self) -> int | None:
        """Process id of who serves, if it is a bridge."""
        text = os.pread(self._file, 32, 0).decode()
        if not text.isdigit():
            return None
        try:
            command = Path(f"/proc/{text}/cmdline").read_bytes()
        except FileNotFoundError:
            return None
        return int(text) if b"o_platform.bridge" in command else None


def is_alive(pid: int) -> bool:
    """Whether there is a process with this id."""
    return Path(f"/proc/{pid}").exists()
