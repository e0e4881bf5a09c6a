"""What each attempt at an instance came to, read from Envoy's log of attempts.

Envoy writes one line of JSON per attempt, retries and mirrored copies included, and names the
instance by the socket it spoke to. So a canary's crash is seen here although the client got its
answer from a stable instance. Failed attempts are always logged, successful ones of observed
lineages only (see `listeners`).

The follower keeps its place by file and offset, which a caller can store and hand to a new
follower. Above `MAX_BYTES` the file is renamed and Envoy is told to open a new one; the old one is
read to its end first.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from o_platform.errors import TrafficError
from o_platform.traffic.admin import EnvoyAdmin

MAX_BYTES: Final = 64 * 1024 * 1024
_LOGGER = logging.getLogger(__name__)
_DEATH_FLAGS: Final = frozenset({"UC", "UF", "UR", "UPE"})
"""Connection ended, connection failed, reset, answer broken off (Envoy's response flags)."""
_INSTANCE: Final = re.compile(r"/instances/([^/]+)/in/agent\.sock$")
_ROUTING_KEY: Final = re.compile(
    r"^/v1/(?:agents/agent|conversations/conv)-([0-9a-f]{8}-[0-9a-f]{4})-"
)


@dataclass(frozen=True, slots=True)
class Observation:
    """One attempt at one instance."""

    at: datetime
    """When the request came in."""
    cluster: str
    """`stable-…`, `canary-…`, `shadow-…` or `instance-…`; see `clusters`."""
    instance_id: str
    """The instance that was spoken to, which may be a stable one in the canary's cluster."""
    status: int
    """HTTP status; 0: it died, hung up, or broke off its answer."""
    cancelled: bool
    """The client, or a newer decision, ended it: says nothing about the instance."""
    flags: str
    """Envoy's response flags, for humans."""
    duration_us: int | None
    """From the request sent until the answer's last byte, microseconds; None: there was none."""
    first_byte_us: int | None
    """The same until its first byte."""
    request_id: str
    """Equal for all attempts at a request, and for its mirrored copy."""
    attempt: int
    """1 for the first one."""
    routing_key: str | None
    """Lineage and bucket of the agent, `xxxxxxxx-xxxx`."""

    @property
    def mirrored(self) -> bool:
        """Whether it was a copy, whose answer no client saw."""
        return self.cluster.startswith("shadow-")

    @property
    def died(self) -> bool:
        """Whether the instance failed to give a whole answer."""
        return self.status == 0 and not self.cancelled


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A place in the log: which file, and how many bytes of it were read."""

    inode: int
    offset: int


class UpstreamLog:
    """Follows the log of attempts."""

    def __init__(
        self,
        path: Path,
        admin: EnvoyAdmin,
        *,
        start: LogPosition | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Nothing is read yet.

        Args:
            path: Envoy's `upstream.log`.
            admin: told to reopen the file after a rotation.
            start: where an earlier follower stopped; absent: at the end of what is there now.
            max_bytes: size above which the file is rotated.
        """
        self._path = path
        self._old = path.with_name(f"{path.name}.1")
        self._admin = admin
        self._max_bytes = max_bytes
        self._position = start or self._end()

    @property
    def position(self) -> LogPosition:
        """Where the next read starts."""
        return self._position

    async def read_new(self) -> list[Observation]:
        """Everything logged since the last call, in the order of the log.

        A line that is not whole yet is left for the next call; one that is no attempt at an
        instance is passed over.
        """
        await self._rotate()
        return [found for line in self._new_lines() if (found := parse_attempt(line)) is not None]

    async def _rotate(self) -> None:
        if not self._old.exists() and _size(self._path) > self._max_bytes:
            self._path.rename(self._old)
        if self._old.exists() and not self._path.exists():
            try:
                await self._admin.reopen_logs()
            except TrafficError as error:
                # Tried again at the next read; until then Envoy goes on in the renamed file.
                _LOGGER.warning("the upstream log was not rotated: %s", error.message)

    def _new_lines(self) -> list[bytes]:
        lines: list[bytes] = []
        if self._old.exists():
            left = self._path.exists()
            lines += self._lines_of(self._old)
            if not left:
                return lines
            self._old.unlink()
        return lines + self._lines_of(self._path)

    def _lines_of(self, path: Path) -> list[bytes]:
        """The whole lines after the position, or all of them if it is in another file."""
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            return []
        with stream:
            state = os.fstat(stream.fileno())
            known = self._position.inode == state.st_ino
            offset = (
                self._position.offset if known and self._position.offset <= state.st_size else 0
            )
            stream.seek(offset)
            whole, separator, _ = stream.read().rpartition(b"\n")
        self._position = LogPosition(state.st_ino, offset + len(whole) + len(separator))
        return whole.splitlines()

    def _end(self) -> LogPosition:
        newest = self._path if self._path.exists() else self._old
        return LogPosition(_inode(newest), _size(newest))


def parse_attempt(line: bytes) -> Observation | None:
    """One line of the log as an observation; None if it is no attempt at an instance."""
    try:
        entry = json.loads(line)
        instance = _INSTANCE.search(entry["host"] or "")
        return None if instance is None else _observation(entry, instance.group(1))
    except (ValueError, KeyError, TypeError):
        _LOGGER.warning("a line of the upstream log is not readable: %r", line[:200])
        return None


def _observation(entry: dict[str, Any], instance_id: str) -> Observation:
    flags = "" if entry["flags"] == "-" else str(entry["flags"])
    status = int(entry["status"] or 0)
    died = not _DEATH_FLAGS.isdisjoint(flags.split(","))
    key = _ROUTING_KEY.match(entry["path"] or "")
    return Observation(
        at=datetime.fromtimestamp(float(entry["at"]), UTC),
        cluster=str(entry["cluster"]),
        instance_id=instance_id,
        status=0 if died else status,
        cancelled=status == 0 and not died,
        flags=flags,
        duration_us=_microseconds(entry["us"]),
        first_byte_us=_microseconds(entry["first_us"]),
        request_id=str(entry["request"]),
        attempt=int(entry["attempt"] or 1),
        routing_key=None if key is None else key.group(1),
    )


def _microseconds(value: Any) -> int | None:
    return None if value is None else int(value)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
