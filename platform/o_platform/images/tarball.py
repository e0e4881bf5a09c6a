"""Deterministic tar archives: the same entries give the same bytes, whoever packs them and when.

Entries are written in the order of their paths, with time 0, owner 0:0, no names of users, and the
mode they state. Contents may stay on disk until they are written.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

FILE_MODE = 0o644
FOLDER_MODE = 0o755


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in an archive.

    `content` is bytes, or the file that holds them; a link's target for `link`; None for `folder`.
    """

    path: str
    kind: Literal["file", "folder", "link"] = "file"
    content: bytes | Path | str | None = b""
    mode: int = FILE_MODE

    def read(self) -> bytes:
        """The bytes of a file; a link's target; nothing for a folder."""
        match self.content:
            case Path():
                return self.content.read_bytes()
            case str():
                return self.content.encode()
            case None:
                return b""
            case _:
                return self.content


def folder(path: str, mode: int = FOLDER_MODE) -> Entry:
    """An entry for a folder."""
    return Entry(path, "folder", None, mode)


def link(path: str, target: str) -> Entry:
    """An entry for a symbolic link."""
    return Entry(path, "link", target, 0o777)


def parents(paths: Iterable[str]) -> list[Entry]:
    """Folder entries for everything that `paths` lie in."""
    found = {str(parent) for path in paths for parent in Path(path).parents}
    return [folder(path) for path in sorted(found - {"."})]


def write_tar(entries: Iterable[Entry], file: IO[bytes]) -> None:
    """Write `entries` to `file`, sorted by path."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in sorted(entries, key=lambda each: each.path):
            _add(archive, entry)


def tar_bytes(entries: Iterable[Entry]) -> bytes:
    """The archive of `entries` in memory."""
    buffer = io.BytesIO()
    write_tar(entries, buffer)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode = entry.mode
    data = entry.read()
    match entry.kind:
        case "folder":
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        case "link":
            info.type = tarfile.SYMTYPE
            info.linkname = data.decode()
            archive.addfile(info)
        case "file":
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
