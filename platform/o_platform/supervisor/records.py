"""What the supervisor writes down: children's output, events, and the process ids of its children.

Output and events go to files that are rotated by size. A full disk must not stop the supervisor:
what cannot be written is counted, and said once it can be written again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from o_platform.supervisor.process import boot_id, start_time

_LAST_LINE_BYTES = 500
EVENTS_KEPT = 200


class RotatingFile:
    """A file that is appended to, and moved aside (`.1`, `.2`, …) when it is full."""

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        """`keep` old files stay beside it."""
        self.path = path
        self.last_line = ""
        self._max_bytes = max_bytes
        self._keep = keep
        self._lost = 0
        self._fd = self._open()

    def write(self, data: bytes) -> None:
        """Append; never raises for want of space."""
        self._remember_last_line(data)
        try:
            if self._lost:
                self._append(f"[{self._lost} bytes lost: the disk was full]\n".encode())
                self._lost = 0
            self._append(data)
        except OSError:
            self._lost += len(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _append(self, data: bytes) -> None:
        while data:
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            written = os.write(self._fd, data[: self._max_bytes])
            self._size += written
            data = data[written:]

    def _open(self) -> int:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._size = os.fstat(descriptor).st_size
        return descriptor

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.rename(self._numbered(number + 1))
        self.path.rename(self._numbered(1))
        os.close(self._fd)
        self._fd = self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _remember_last_line(self, data: bytes) -> None:
        lines = data.rstrip().rsplit(b"\n", 1)
        if lines[-1].strip():
            self.last_line = lines[-1][-_LAST_LINE_BYTES:].decode(errors="replace").strip()


class EventLog:
    """Events as JSON lines in a file; the newest also in memory."""

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        """See `RotatingFile`."""
        self._file = RotatingFile(path, max_bytes=max_bytes, keep=keep)
        self.recent: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)

    def append(self, kind: str, child: str, message: str, **fields: object) -> dict[str, Any]:
        """Write one event; it."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"at": at, "kind": kind, "child": child, "message": message, **fields}
        self.recent.append(event)
        self._file.write(json.dumps(event).encode() + b"\n")
        return event


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds the lock."""


def take_lock(path: Path) -> int:
    """Hold the lock file while this process lives; its descriptor.

    The kernel drops the lock with its holder, so a file left behind does not matter.

    Raises:
        AlreadyRunningError: another process holds it; the message names it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
        os.close(descriptor)
        raise AlreadyRunningError(f"a supervisor runs already (process {holder})") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def write_pids(path: Path, children: dict[str, int]) -> None:
    """Record which processes are ours, for the next supervisor if this one is killed."""
    processes = {name: {"pid": pid, "started": start_time(pid)} for name, pid in children.items()}
    staged = path.with_suffix(".tmp")
    staged.write_text(json.dumps({"boot_id": boot_id(), "children": processes}))
    staged.rename(path)


def read_pids(path: Path) -> dict[str, tuple[int, int]]:
    """Process id and start time of an earlier supervisor's children on this boot, oldest first."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if data.get("boot_id") != boot_id():
        return {}
    children = {
        name: (entry["pid"], entry["started"])
        for name, entry in data["children"].items()
        if entry["started"] is not None
    }
    return dict(sorted(children.items(), key=lambda item: item[1][1]))
