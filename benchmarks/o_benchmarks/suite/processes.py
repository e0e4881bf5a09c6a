"""CPU time and memory of the platform's processes, each with its children, from /proc.

A process counts with everything it has started: PostgreSQL with its backends, an instance with its
workers. CPU time of children that ended is in their parent's account, so nothing gets lost when a
worker dies. Memory is PSS: pages that several processes share are divided among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory of a process and its children, in bytes."""

    pss: int
    rss: int
    processes: int


def cpu_us(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU time used so far by the processes with these ids and their children, in microseconds."""
    return {name: sum(map(_used_us, family(pid))) for name, pid in roots.items()}


def cpu_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU time in between, by name, in microseconds; a process that is new counts from zero."""
    return {name: max(0.0, after[name] - before.get(name, 0.0)) for name in after}


def footprint(pid: int, *, with_children: bool = True) -> Footprint:
    """Memory of a process and its children.

    Raises:
        PermissionError: only the owner of a process, and root, may read its PSS.
    """
    pss = rss = processes = 0
    for member in (process.pid for process in family(pid)) if with_children else (pid,):
        try:
            sizes = parse_rollup(Path(f"/proc/{member}/smaps_rollup").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
        pss, rss, processes = pss + sizes["Pss"], rss + sizes["Rss"], processes + 1
    return Footprint(pss, rss, processes)


def parse_rollup(text: str) -> dict[str, int]:
    """The sizes of `/proc/<pid>/smaps_rollup` in bytes, by name."""
    sizes = {}
    for line in text.splitlines()[1:]:
        name, _, value = line.partition(":")
        sizes[name] = int(value.split()[0]) * 1024
    return sizes


def family(pid: int) -> Iterator[psutil.Process]:
    """A process and all that it has started."""
    try:
        process = psutil.Process(pid)
        yield process
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def _used_us(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:4]) * 1e6
    except psutil.NoSuchProcess:
        return 0.0
