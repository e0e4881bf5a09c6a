"""How late the machine itself is.

A process of its own sleeps ten milliseconds again and again, and says when it was woken late. On a
busy machine everything that waits is woken late; a call is not blamed for that. It is a process of
its own, so that a guest who keeps the host busy cannot excuse itself by that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType
from typing import Final, Self

_PROGRAM: Final = """
import os, select, time
while True:
    due = time.monotonic() + 0.01
    if select.select([0], [], [], 0.01)[0]:
        break
    now = time.monotonic()
    if now - due > 0.002:
        os.write(1, b"%f %f\\n" % (due, now))
"""


class Lateness:
    """A context manager; times are those of `time.monotonic()`, in seconds."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._spans: list[tuple[float, float]] = []
        self._rest = b""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Begin to measure."""
        self._process = subprocess.Popen(  # noqa: S603 — our own program
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
        )
        if self._process.stdout is not None:
            os.set_blocking(self._process.stdout.fileno(), False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Measure no more."""
        if self._process is not None:
            self._process.communicate()

    def between(self, started: float, ended: float) -> float:
        """Seconds of this span in which what should have been woken was not."""
        self._read()
        late = 0.0
        for due, now in reversed(self._spans):
            if now <= started:
                break
            late += max(0.0, min(ended, now) - max(started, due))
        return late

    def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        try:
            while piece := os.read(self._process.stdout.fileno(), 65536):
                *lines, self._rest = (self._rest + piece).split(b"\n")
                for line in lines:
                    due, now = line.split()
                    self._spans.append((float(due), float(now)))
        except BlockingIOError:
            return
