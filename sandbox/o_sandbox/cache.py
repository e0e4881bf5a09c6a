"""Compiled code on disk. Loading it is running it, so it must come from nobody else.

An entry's name says what it depends on and ends in a digest of its content: the SHA-256 of those of
its pieces, which threads compute side by side. An entry is used only if it and every folder above
it can be written by this user or root alone, it is no link, and its content is what the name says;
otherwise it is removed and made anew. Entries of other versions, engines and settings are kept as
long as they are among the few that were used last.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = "O_SANDBOX_CACHE"
PACKED: Final = Path(__file__).parent / "_compiled"
"""Entries that came with the package, as in the image of an instance."""
KEPT: Final = 4
"""Entries of one artifact; installations of several versions may share the folder."""
_SUFFIX: Final = ".cwasm"
_PIECE_BYTES: Final = 2 * 1024 * 1024
_HASHERS: Final = 2
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

        It counts as used now.

        Raises:
            UnsafeCacheError: others may write the folder.
        """
        if not self.folder.exists():
            return None
        require_private(self.folder)
        for path in self.entries(key):
            descriptor = _opened(path)
            if descriptor is not None:
                with contextlib.suppress(OSError):  # the folder of an image cannot be written
                    os.utime(descriptor)
                return descriptor
            _remove(path)
        return None

    def add(self, key: str, content: bytes | bytearray) -> Path:
        """Keep an entry, in place of older ones of this key and of artifacts used long ago.

        A key begins with the name of its artifact and a hyphen.

        Raises:
            UnsafeCacheError: others may write the folder.
            OSError: the disk.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        require_private(self.folder)
        path = self.folder / f"{key}.{_digest(memoryview(content))}{_SUFFIX}"
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)
        for other in self.entries(key):
            if other != path:
                _remove(other)
        for stale in self._by_use(key.partition("-")[0])[KEPT:]:
            _remove(stale)
        return path

    def entries(self, key: str) -> list[Path]:
        """The files that claim to be this entry: unchecked, one at most unless others add some."""
        return sorted(self.folder.glob(f"{key}.*{_SUFFIX}"))

    def _by_use(self, name: str) -> list[Path]:
        """Entries of an artifact, the one that was used last first."""
        found = self.folder.glob(f"{name}-*{_SUFFIX}")
        return sorted(found, key=lambda path: path.lstat().st_mtime_ns, reverse=True)


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
    if not status.st_size:
        return False
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as content, memoryview(content) as view:
        return _digest(view) == digest


def _digest(content: memoryview) -> str:
    """The digest of an entry; no thread is left when it is there."""
    starts = range(0, len(content), _PIECE_BYTES)
    found = [b""] * len(starts)
    left = enumerate(starts)  # whose next piece goes to whoever is free

    def hash_on() -> None:
        for number, start in left:
            with content[start : start + _PIECE_BYTES] as piece:
                found[number] = hashlib.sha256(piece).digest()

    threads = [threading.Thread(target=hash_on) for _ in range(_HASHERS - 1)]
    for thread in threads:
        thread.start()
    hash_on()
    for thread in threads:
        thread.join()
    return hashlib.sha256(b"".join(found)).hexdigest()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
