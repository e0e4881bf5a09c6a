"""The lock of the bridge that serves: there are never two.

It is on a file, and the kernel releases it at death. Who starts while another one serves, which a
supervisor that was killed may have left behind, asks that one to stop.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from pathlib import Path
from typing import Final

from o_platform.errors import NotReadyError

TAKE_OVER_S: Final = 15.0
"""Longest wait for the one who serves to stop; longer than its own wait for open commits."""
_LOOK_AGAIN_S: Final = 0.002
_log = logging.getLogger(__name__)


class ServingLock:
    """The lock of the one that serves; held until the process ends."""

    def __init__(self, path: Path) -> None:
        """Opens the file; not before a fork, as parent and child would share the lock."""
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _take(self, wait_s: float) -> bool:
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
            self._take(0)
            return
        holder = self._holder()
        if holder is not None:
            _log.info("asking the other bridge to stop", extra={"pid": holder})
            os.kill(holder, signal.SIGTERM)
        if not self._take(TAKE_OVER_S):
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
