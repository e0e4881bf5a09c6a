"""The scratch folder of one call: files in the engine's own memory, under a quota.

There is nothing outside it to reach: a path is a list of names, `..` at the top is refused, and no
links exist. It begins empty and ends with its call. A guest reaches it by the calls `scratch.*`,
which the engine answers itself; the grant `scratch` gives them.

| call | arguments | answer |
|---|---|---|
| `scratch.read` | `path`, `at`, `size`, `encoding` | the content, or `size` bytes from `at` |
| `scratch.write` | `path`, `content`, `at`, `encoding` | its size; without `at` it is replaced |
| `scratch.append` | `path`, `content`, `encoding` | its size |
| `scratch.truncate` | `path`, `size` | its size |
| `scratch.list` | `path` | names in a folder, sorted |
| `scratch.stat` | `path` | `{"folder": …, "size": …}` |
| `scratch.folder` | `path` | makes a folder in one that exists |
| `scratch.remove` | `path` | removes a file, or a folder that is empty |
| `scratch.rename` | `path`, `to` | moves a file or a folder |

`encoding` is `text` (UTF-8) unless it is `base64`. A refusal begins with the name of its number in
`errno`, such as `ENOSPC`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

PREFIX: Final = "scratch."
ENTRY_BYTES: Final = 512
"""What a file or a folder takes of the quota besides its content, so that many small ones end."""
_NAME_BYTES: Final = 255
_DEPTH: Final = 32
Path = tuple[str, ...]


class ScratchError(Exception):
    """A refusal, for the guest to read."""


class _Arguments(Struct, forbid_unknown_fields=True):
    path: str
    to: str = ""
    content: str = ""
    at: int | None = None
    size: int | None = None
    encoding: Literal["text", "base64"] = "text"


class Scratch:
    """Files and folders by path."""

    __slots__ = ("_entries", "_quota_bytes", "used_bytes")

    def __init__(self, quota_bytes: int) -> None:
        """At most `quota_bytes`, of which each entry takes `ENTRY_BYTES` for itself."""
        self._quota_bytes = quota_bytes
        self._entries: dict[Path, bytearray | None] = {(): None}
        self.used_bytes = 0

    def answer(self, name: str, arguments: str) -> str:
        """What a call comes to, as JSON.

        Raises:
            ScratchError: it is refused.
        """
        body = _CALLS.get(name)
        if body is None:
            raise ScratchError(
                f"ENOSYS: there is no `{name[:_NAME_BYTES]}`, only {', '.join(_CALLS)}"
            )
        try:
            given = _decoder.decode(arguments)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ScratchError(f"EINVAL: {name}: {error}") from None
        return msgspec.json.encode(body(self, given)).decode()

    def read(self, given: _Arguments) -> str:
        """The content of a file, or part of it."""
        content = self._file(_path(given.path))
        start = _natural(given.at or 0)
        end = len(content) if given.size is None else start + _natural(given.size)
        return _encoded(bytes(memoryview(content)[start:end]), given.encoding)

    def write(self, given: _Arguments) -> int:
        """Put content at a place of a file, or in place of it."""
        path, content = _path(given.path), _decoded(given)
        if given.at is None:
            self._resize(path, 0)
            return self._put(path, 0, content)
        return self._put(path, _natural(given.at), content)

    def append(self, given: _Arguments) -> int:
        """Put content at a file's end."""
        path = _path(given.path)
        content = _decoded(given)
        known = self._entries.get(path)
        return self._put(path, len(known) if known is not None else 0, content)

    def truncate(self, given: _Arguments) -> int:
        """Cut a file, or fill it up with zeros."""
        size = _natural(given.size or 0)
        self._resize(_path(given.path), size)
        return size

    def names(self, given: _Arguments) -> list[str]:
        """Names in a folder."""
        path = _path(given.path)
        self._require_folder(path)
        return sorted(each[-1] for each in self._below(path) if len(each) == len(path) + 1)

    def stat(self, given: _Arguments) -> dict[str, Any]:
        """What is there."""
        content = self._found(_path(given.path))
        return {"folder": content is None, "size": 0 if content is None else len(content)}

    def folder(self, given: _Arguments) -> None:
        """Make a folder."""
        path = _path(given.path)
        if path in self._entries:
            raise ScratchError(f"EEXIST: there is a {_shown(path)} already")
        self._add(path, None)

    def remove(self, given: _Arguments) -> None:
        """Remove a file, or an empty folder."""
        path = _path(given.path)
        content = self._found(path)
        if not path:
            raise ScratchError("EBUSY: the scratch folder itself stays")
        if content is None and any(True for _ in self._below(path)):
            raise ScratchError(f"ENOTEMPTY: {_shown(path)} is not empty")
        del self._entries[path]
        self.used_bytes -= ENTRY_BYTES + (0 if content is None else len(content))

    def rename(self, given: _Arguments) -> None:
        """Move a file or a folder; a file that is there is replaced."""
        path, target = _path(given.path), _path(given.to)
        content = self._found(path)
        if target[: len(path)] == path and target != path:
            raise ScratchError(f"EINVAL: {_shown(target)} lies in {_shown(path)}")
        if path == target:
            return
        if target in self._entries:
            if content is None or self._entries[target] is None:
                raise ScratchError(f"EEXIST: there is a {_shown(target)} already")
            self.remove(_Arguments(given.to))
        self._require_folder(target[:-1])
        moved = [path, *self._below(path)]
        if any(len(target) + len(each) - len(path) > _DEPTH for each in moved):
            raise ScratchError(f"ENAMETOOLONG: more than {_DEPTH} folders in one another")
        for each in moved:
            self._entries[target + each[len(path) :]] = self._entries.pop(each)

    def _put(self, path: Path, at: int, content: bytes) -> int:
        known = self._entries.get(path)
        size = max(0 if known is None else len(known), at + len(content))
        self._resize(path, size)
        self._file(path)[at : at + len(content)] = content
        return size

    def _resize(self, path: Path, size: int) -> None:
        """Give a file this size; it is made if it is not there."""
        if path not in self._entries:
            self._add(path, bytearray())
        content = self._file(path)
        grown = size - len(content)
        self._require(grown)
        if grown >= 0:
            content.extend(bytes(grown))
        else:
            del content[size:]
        self.used_bytes += grown

    def _add(self, path: Path, content: bytearray | None) -> None:
        self._require_folder(path[:-1])
        self._require(ENTRY_BYTES)
        self._entries[path] = content
        self.used_bytes += ENTRY_BYTES

    def _require(self, more_bytes: int) -> None:
        if more_bytes > 0 and self.used_bytes + more_bytes > self._quota_bytes:
            raise ScratchError(
                f"ENOSPC: the scratch folder holds {self._quota_bytes} bytes at most, and "
                f"{ENTRY_BYTES} of them go to each name"
            )

    def _require_folder(self, path: Path) -> None:
        if self._found(path) is not None:
            raise ScratchError(f"ENOTDIR: {_shown(path)} is a file")

    def _file(self, path: Path) -> bytearray:
        content = self._found(path)
        if content is None:
            raise ScratchError(f"EISDIR: {_shown(path)} is a folder")
        return content

    def _found(self, path: Path) -> bytearray | None:
        try:
            return self._entries[path]
        except KeyError:
            raise ScratchError(f"ENOENT: there is no {_shown(path)}") from None

    def _below(self, path: Path) -> list[Path]:
        depth = len(path)
        return [each for each in self._entries if len(each) > depth and each[:depth] == path]


def _path(text: str) -> Path:
    names: list[str] = []
    for name in text.split("/"):
        if name == "..":
            if not names:
                raise ScratchError("EACCES: that lies outside the scratch folder")
            names.pop()
        elif name not in ("", "."):
            if "\0" in name or len(name.encode(errors="replace")) > _NAME_BYTES:
                raise ScratchError(f"ENAMETOOLONG: a name has {_NAME_BYTES} bytes at most, no NUL")
            names.append(name)
    if len(names) > _DEPTH:
        raise ScratchError(f"ENAMETOOLONG: more than {_DEPTH} folders in one another")
    return tuple(names)


def _shown(path: Path) -> str:
    return "/".join(path) or "scratch folder"


def _natural(number: int) -> int:
    if not 0 <= number < 1 << 40:
        raise ScratchError(f"EINVAL: {number} is no place in a file")
    return number


def _decoded(given: _Arguments) -> bytes:
    if given.encoding == "text":
        return given.content.encode(errors="replace")
    try:
        return base64.b64decode(given.content, validate=True)
    except (binascii.Error, ValueError):
        raise ScratchError("EINVAL: the content is no base64") from None


def _encoded(content: bytes, encoding: str) -> str:
    if encoding == "base64":
        return base64.b64encode(content).decode()
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ScratchError("EILSEQ: that is no text; ask for the encoding `base64`") from None


_decoder: Final = msgspec.json.Decoder(_Arguments)
_CALLS: Final[dict[str, Callable[[Scratch, _Arguments], Any]]] = {
    "scratch.read": Scratch.read,
    "scratch.write": Scratch.write,
    "scratch.append": Scratch.append,
    "scratch.truncate": Scratch.truncate,
    "scratch.list": Scratch.names,
    "scratch.stat": Scratch.stat,
    "scratch.folder": Scratch.folder,
    "scratch.remove": Scratch.remove,
    "scratch.rename": Scratch.rename,
}
