"""What the host spends on sandboxes: memory, descriptors and threads of a process and its children.

Read from /proc, since the sandbox package brings no dependency for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ENGINE: Final = b"o_sandbox.engine.process"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of a whole process tree. `memory_bytes` is memory that is its own, not shared files."""

    memory_bytes: int
    descriptors: int
    threads: int
    processes: int

    @classmethod
    def now(cls) -> Footprint:
        """Of this process and its descendants; children that end meanwhile count for nothing."""
        memory = descriptors = threads = processes = 0
        for process in _tree(os.getpid()):
            try:
                memory += _own_memory(process)
                descriptors += sum(1 for _ in (process / "fd").iterdir())
                threads += sum(1 for _ in (process / "task").iterdir())
                processes += 1
            except (OSError, ValueError, IndexError):
                continue
        return cls(memory, descriptors, threads, processes)


def engines() -> frozenset[int]:
    """Ids of this process's descendants that are engines: each serves the calls of many guests."""
    return frozenset(
        int(process.name) for process in _tree(os.getpid()) if _ENGINE in _command_line(process)
    )


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def _tree(root: int) -> Iterator[Path]:
    pending = [root]
    while pending:
        process = Path(f"/proc/{pending.pop()}")
        yield process
        try:
            for task in (process / "task").iterdir():
                pending += map(int, (task / "children").read_text().split())
        except OSError:
            continue


def _own_memory(process: Path) -> int:
    """Anonymous memory, resident or swapped, in bytes."""
    total = 0
    for line in (process / "status").read_text().splitlines():
        if line.startswith(("RssAnon:", "VmSwap:")):
            total += int(line.split()[1]) * 1024
    return total
