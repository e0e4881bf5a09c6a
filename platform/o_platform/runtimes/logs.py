"""Log files of instances below `<home>/log/instances`.

Those of processes are written while they run, those of containers when they are gone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

KEPT: Final = 100
"""Log files that are kept; the oldest go first."""


@dataclass(frozen=True, slots=True)
class LogFiles:
    """The log files below `home`."""

    home: Path

    def path(self, instance_id: str) -> Path:
        """Where the log of an instance is."""
        return self.home / "log" / "instances" / f"{instance_id}.log"

    def open(self, instance_id: str) -> IO[bytes]:
        """The log of an instance, to append to."""
        path = self.path(instance_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")

    def keep(self, instance_id: str, text: str) -> None:
        """Write what an instance printed, and delete the oldest logs beyond `KEPT`."""
        with self.open(instance_id) as file:
            file.write(text.encode())
        logs = sorted(self.path(instance_id).parent.iterdir(), key=lambda p: p.stat().st_mtime)
        for old in logs[:-KEPT]:
            old.unlink(missing_ok=True)

    def read(self, instance_id: str, tail: int) -> str:
        """The last `tail` lines of an instance's log; empty when there is none."""
        try:
            with self.path(instance_id).open(errors="replace") as file:
                return "".join(deque(file, maxlen=tail))
        except FileNotFoundError:
            return ""
