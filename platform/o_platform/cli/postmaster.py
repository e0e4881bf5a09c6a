"""Makes way for a new PostgreSQL after its predecessor was killed together with its parent.

A server that was killed leaves `postmaster.pid`, and PostgreSQL starts only if that process is gone.
Where the process that inherits orphans is slow to collect them, a dead server is a zombie for a
while, which PostgreSQL takes for a running one. The file may go once nobody works in the folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from o_platform.errors import SetupError
from o_platform.supervisor.process import start_time

_WAIT_S: Final = 20.0
_POLL_S: Final = 0.05


def clear_dead_postmaster(data: Path) -> None:
    """Remove `postmaster.pid` of a dead server that still has a process id.

    Raises:
        SetupError: its server processes do not end.
    """
    file = data / "postmaster.pid"
    pid = _recorded_pid(file)
    if pid is None or not _is_zombie(pid):
        return
    deadline = time.monotonic() + _WAIT_S
    while workers := list(_processes_in(data)):
        if time.monotonic() > deadline:
            raise SetupError(
                f"PostgreSQL was killed, but processes of it go on in {data}: "
                f"{', '.join(map(str, workers))}; end them, then start again"
            )
        time.sleep(_POLL_S)
    file.unlink(missing_ok=True)


def _recorded_pid(file: Path) -> int | None:
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and start_time(pid) is None


def _processes_in(folder: Path) -> Iterator[int]:
    """Processes that work in `folder`, as every process of a server does."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "cwd").readlink() == folder:
                    yield int(entry.name)
