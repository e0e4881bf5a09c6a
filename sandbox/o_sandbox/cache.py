"""Compiled code on disk. Loading it is running it, so it must come from nobody else.

An entry's name says what it depends on and ends in the SHA-256 of its content. An entry is used
only if it and every folder above it can be written by this user or root alone, it is no link, and
its content is what the name says; otherwise it is removed and made anew.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = "O_SANDBOX_CACHE"
PACKED: Final = Path(__file__).parent / "_compiled"
"""Entries that came with the package, as in the image of an instance."""
_SUFFIX: Final = ".cwasm"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class UnsafeCacheError(Exception):
    """Others could write what would be run; the message names the path and the remedy."""


def default_folder() -> Path:
    """`O_SANDBOX_CACHE`, else `PACKED`, else `project-o/sandbox` in the user's cache folder."""
    if given := os.environ.get(ENVIRONMENT):
        return Path(given)
    if PACKED.exists():
        return PACKED
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "project-o" / "sandbox"


class CompiledCache:
    """Entries by key in one folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first entry is added."""
        self.folder = folder

    def find(self, key: str) -> int | None:
        """A file descriptor of the entry, checked and ready to be loaded; the caller closes it.

        Raises:
            UnsafeCacheError: others may write the folder.
        """
        if not self.folder.exists():
            return None
        require_private(self.folder)
        for path in self.entries(key):
            descriptor = _opened(path)
            if descriptor is not None:
                return descriptor
            _remove(path)
        return None

    def add(self, key: str, content: bytes | bytearray) -> Path:
        """Keep an entry, in place of older ones of this key.

        Raises:
            UnsafeCacheError: others may write the folder.
            OSError: the disk.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        require_private(self.folder)
        path = self.folder / f"{key}.{hashlib.sha256(content).hexdigest()}{_SUFFIX}"
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)
        for other in self.entries(key):
            if other != path:
                _remove(other)
        return path

    def entries(self, key: str) -> list[Path]:
        """The files that claim to be this entry: unchecked, one at most unless others add some."""
        return sorted(self.folder.glob(f"{key}.*{_SUFFIX}"))


def require_private(folder: Path) -> None:
    """Make sure that nobody but this user and root can put files here.

    Raises:
        UnsafeCacheError: somebody can.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & _OTHERS_WRITE or not _ours(status):
        raise UnsafeCacheError(
            f"{folder} is not a folder that only its owner, who runs this, may write: run "
            f"`chmod 700` on it, remove it, or set {ENVIRONMENT} to another one"
        )
    for parent in folder.resolve().parents:
        status = parent.lstat()
        if not _ours(status) or (status.st_mode & _OTHERS_WRITE and not _is_sticky(status)):
            raise UnsafeCacheError(
                f"others may replace {folder}, since they may write {parent}; set {ENVIRONMENT} to "
                "a folder in a place of your own"
            )


def _ours(status: os.stat_result) -> bool:
    return status.st_uid in (os.geteuid(), 0)


def _is_sticky(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_ISVTX)


def _opened(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if _is_genuine(descriptor, path.name.split(".")[-2]):
        return descriptor
    os.close(descriptor)
    return None


def _is_genuine(descriptor: int, digest: str) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_mode & _OTHERS_WRITE or not _ours(status):
        return False
    total = hashlib.sha256()
    for piece in _pieces(descriptor):
        total.update(piece)
    return total.hexdigest() == digest


def _pieces(descriptor: int) -> Iterator[bytes]:
    offset = 0
    while piece := os.pread(descriptor, 1 << 20, offset):
        yield piece
        offset += len(piece)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
