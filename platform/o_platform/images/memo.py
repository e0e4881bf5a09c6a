"""What was found out from files, kept until one of them changes.

The base image's tag follows from the content of a thousand files and from what `ldd` says of a
hundred: much work at every start, for an answer that changes with an installation only.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)
_FORMAT: Final = 1

Stamp = list[int]


class FileMemo:
    """Values by name, each with the stamps of the files it follows from, in one JSON file.

    A file is the same while its device, inode, size and times are; nobody can set its `ctime`.
    """

    def __init__(self, path: Path) -> None:
        """`path` is where it is kept; what is there and cannot be read counts as nothing."""
        self._path = path
        self._known: dict[str, Any] = _load(path)
        self._used: dict[str, Any] = {}
        self._is_changed = False

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's content, in hex.

        Raises:
            OSError: it cannot be read.
        """
        return str(self.recall(f"sha256 {path}", [path], lambda: (_sha256(path), [])))

    def recall(
        self, name: str, files: Sequence[Path], find: Callable[[], tuple[Any, Sequence[Path]]]
    ) -> Any:
        """The value of this name, from memory if none of its files has changed.

        Args:
            name: what is asked for; the same name must always mean the same question.
            files: what the answer follows from.
            find: finds out anew; returns a JSON value, and what else it follows from.

        Raises:
            OSError: one of `files` is not there.
        """
        asked = _stamps(files)
        entry = self._known.get(name)
        if entry is None or entry["asked"] != asked or not _are_same(entry["further"]):
            value, further = find()
            stamps = dict(zip(map(str, further), _stamps(further), strict=True))
            entry = {"asked": asked, "further": stamps, "value": value}
            self._is_changed = True
        self._used[name] = entry
        return entry["value"]

    def forget(self, name: str) -> None:
        """Find this value anew next time."""
        self._used.pop(name, None)

    def save(self) -> None:
        """Keep what was asked for, and forget the rest; without room for it, do without."""
        if not self._is_changed:
            return
        text = json.dumps({"format": _FORMAT, "known": self._used})
        complete = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            complete.write_text(text)
            complete.replace(self._path)
        except OSError as error:
            complete.unlink(missing_ok=True)
            _log.warning("%s cannot be kept (%s); starts take longer", self._path, error.strerror)
        self._is_changed = False


def _load(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_bytes())
        return dict(kept["known"]) if kept["format"] == _FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _stamps(files: Sequence[Path]) -> list[Stamp]:
    return [_stamp(path) for path in files]


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _are_same(stamps: dict[str, Stamp]) -> bool:
    try:
        return all(_stamp(Path(path)) == stamp for path, stamp in stamps.items())
    except OSError:
        return False


def _sha256(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
