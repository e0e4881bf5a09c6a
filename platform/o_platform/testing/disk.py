"""A disk that is small, to be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from o_platform.testing.postgres import short_folder

_PIECE = bytes(64 * 1024)


@contextmanager
def small_disk(size_bytes: int) -> Iterator[Path]:
    """A new folder with a file system of its own, of this size, gone at the end.

    Raises:
        OSError: this user may not mount.
    """
    with short_folder() as folder:
        options = f"size={size_bytes},mode=0711"
        _run("mount", "-t", "tmpfs", "-o", options, "o-small-disk", str(folder))
        try:
            yield folder
        finally:
            _run("umount", "--lazy", str(folder))


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No room is left in the folder's file system for the time of the block."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            _fill(file)
        yield
    finally:
        ballast.unlink()


def _fill(file: FileIO) -> None:
    size = len(_PIECE)
    while size:
        try:
            file.write(_PIECE[:size])
        except OSError:
            size //= 2


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        raise OSError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
