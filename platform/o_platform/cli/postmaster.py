"""Makes way for a new PostgreSQL after its predecessor was killed together with its parent.

A server that was killed leaves two lock files, and PostgreSQL starts only if the process they name
is gone. Where the process that inherits orphans is slow to collect them, a dead server is a zombie
for a while, which PostgreSQL takes for a running one; and after a power cut somebody else's process
may have the number. The files may go once nobody works in the folder any more.
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


def clear_dead_postmaster(data: Path, socket_dir: Path) -> None:
    """Remove the lock files of a dead server whose process id a zombie or another process has.

    Raises:
        SetupError: its server processes do not end.
    """
    locks = [data / "postmaster.pid", socket_dir / ".s.PGSQL.5432.lock"]
    stale = [lock for lock in locks if _is_taken(data, _recorded_pid(lock))]
    if not stale:
        return
    _await_nobody_in(data)
    for lock in stale:
        lock.unlink(missing_ok=True)


def _await_nobody_in(data: Path) -> None:
    deadline = time.monotonic() + _WAIT_S
    while workers := list(_processes_in(data)):
        if time.monotonic() > deadline:
            raise SetupError(
                f"PostgreSQL was killed, but processes of it go on in {data}: "
                f"{', '.join(map(str, workers))}; end them, then start again"
            )
        time.sleep(_POLL_S)


def _recorded_pid(file: Path) -> int | None:
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _is_taken(data: Path, pid: int | None) -> bool:
    """Whether there is such a process, and it is not the folder's server."""
    if pid is None or not Path(f"/proc/{pid}").exists():
        return False
    return start_time(pid) is None or pid not in _processes_in(data)


def _processes_in(folder: Path) -> Iterator[int]:
    """Processes that work in `folder`, as every process of a server does."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "cwd").readlink() == folder.resolve():
                    yield int(entry.name)
