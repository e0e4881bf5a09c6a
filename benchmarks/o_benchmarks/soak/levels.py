"""What the platform's processes hold: memory, file descriptors, database connections.

Memory is the anonymous part of PSS: what was allocated. Pages of files and PostgreSQL's shared
buffers fill up with use, which is no leak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from o_benchmarks.suite.processes import family, parse_rollup

_CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True)
class Level:
    """What is held after so many turns, by process with its children; memory in bytes."""

    turns: int
    memory: Mapping[str, int]
    descriptors: Mapping[str, int]
    connections: int


def level(turns: int, roots: Mapping[str, int], database_url: str) -> Level:
    """What these processes and their children hold now.

    Raises:
        PermissionError: only the owner of a process, and root, may look.
    """
    with psycopg.connect(database_url) as connection:
        row = connection.execute(_CONNECTIONS).fetchone()
    return Level(
        turns,
        {name: sum(map(_anonymous, family(pid))) for name, pid in roots.items()},
        {name: sum(map(_descriptors, family(pid))) for name, pid in roots.items()},
        int(row[0]) if row else 0,
    )


def growth(levels: Sequence[Level]) -> dict[str, float]:
    """From the middle of the turns to their end: by process megabytes and descriptors, connections.

    The first half is for what fills up: caches, pools, windows of conversations.
    """
    middle, last = levels[len(levels) // 2], levels[-1]
    grown: dict[str, float] = {"connections": last.connections - middle.connections}
    for name in last.memory:
        grown[f"{name}_mb"] = (last.memory[name] - middle.memory[name]) / 2**20
        grown[f"{name}_descriptors"] = last.descriptors[name] - middle.descriptors[name]
    return grown


def _anonymous(process: psutil.Process) -> int:
    try:
        return parse_rollup(Path(f"/proc/{process.pid}/smaps_rollup").read_text())["Pss_Anon"]
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _descriptors(process: psutil.Process) -> int:
    try:
        return int(process.num_fds())
    except psutil.NoSuchProcess:
        return 0
