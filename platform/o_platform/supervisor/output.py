"""Takes what a child writes to stdout and stderr from a pipe into its log file."""

from __future__ import annotations

import os
import selectors

from o_platform.supervisor.records import RotatingFile

_READ_BYTES = 64 * 1024


class ChildOutput:
    """The log of one child, over all its processes."""

    def __init__(self, selector: selectors.BaseSelector, file: RotatingFile) -> None:
        """`selector`'s data are callbacks that take the event mask."""
        self._selector = selector
        self._file = file
        self._readers: list[int] = []

    @property
    def last_line(self) -> str:
        """The last line that was not blank since `open_pipe`."""
        return self._file.last_line

    def open_pipe(self) -> int:
        """The writing end for a new process; the caller closes it once the process has it."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._readers.append(reading)
        self._selector.register(
            reading, selectors.EVENT_READ, lambda _mask: self._copy_once(reading)
        )
        self._file.last_line = ""
        return writing

    def read_now(self) -> None:
        """Take all that is in the pipes, without waiting."""
        for reading in list(self._readers):
            while self._copy_once(reading):
                pass

    def close(self) -> None:
        """Close the file; what is still written is lost."""
        self.read_now()
        for reading in list(self._readers):
            self._forget(reading)
        self._file.close()

    def _copy_once(self, reading: int) -> bool:
        if reading not in self._readers:
            # Closed since the selector saw it: the death of the process was noticed first.
            return False
        try:
            data = os.read(reading, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._forget(reading)
            return False
        self._file.write(data)
        return True

    def _forget(self, reading: int) -> None:
        self._readers.remove(reading)
        self._selector.unregister(reading)
        os.close(reading)
