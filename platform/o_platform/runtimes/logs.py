"""Log files of instances below `<home>/log/instances`, and what instances print as text.

Those of processes are written while they run, those of containers when they are gone. What is in
them is a genome's to choose, so it is bounded, and made harmless before anybody stores or shows it:
PostgreSQL takes no NUL, and a terminal obeys control characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

KEPT: Final = 100
"""Log files that are kept; the oldest go first."""
LONGEST_BYTES: Final = 256 * 1024
"""What is read or kept of one log at most, from its end: a line may be as long as it likes."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def readable(printed: bytes) -> str:
    """The end of what an instance printed, as text without control characters."""
    text = printed[-LONGEST_BYTES:].decode(errors="replace").replace("\r\n", "\n")
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True, slots=True)
class LogFiles:
    """The log files below `home`."""

    home: Path

    def path(self, instance_id: str) -> Path:
        """Where the log of an instance is."""
        return self.home / "log" / "instances" / f"{instance_id}.log"

    def open(self, instance_id: str) -> IO[bytes]:
        """The log of an instance, to append to; deletes the oldest logs beyond `KEPT`."""
        path = self.path(instance_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
        logs = sorted(path.parent.iterdir(), key=lambda each: each.stat().st_mtime)
        for old in logs[:-KEPT]:
            old.unlink(missing_ok=True)
        return file

    def keep(self, instance_id: str, text: str) -> None:
        """Write what an instance printed."""
        with self.open(instance_id) as file:
            file.write(text.encode())

    def read(self, instance_id: str, tail: int) -> str:
        """The last `tail` lines of an instance's log; empty when there is none."""
        try:
            with self.path(instance_id).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(size - LONGEST_BYTES, 0))
                lines = readable(file.read()).splitlines(keepends=True)
        except FileNotFoundError:
            return ""
        return "".join(lines[-tail:])
