"""The folder `/scratch`: files of a tool that was granted `scratch`, by `open` and by `os`.

They are the host's, who keeps them under a quota and answers `scratch.read` and its like; here is
only what makes them files to Python. Paths elsewhere are left to what was there before: nothing.
"""

import base64
import builtins
import errno
import io
import os
import posixpath
import shutil
import stat
import tarfile
import tempfile
import zlib

import world

ROOT = "/scratch"
_BUFFER = 64 * 1024
_PIECE = 256 * 1024
"""Bytes that go to the host at once: they take several times that of the tool's memory."""
_FIRST_DESCRIPTOR = 1000

_open, _os = io.open, {name: getattr(os, name, None) for name in (
    "close", "chmod", "listdir", "lstat", "mkdir", "open", "remove", "rename", "replace", "rmdir",
    "scandir", "stat", "unlink", "utime",
)}  # fmt: skip


class _Descriptor(int):
    """What `os.open` gives; good for `open` and for `os.close`, as `tempfile` uses it."""

    path = ""


class _Raw(io.RawIOBase):
    """One open file; each read and write is the host's."""

    def __init__(self, path, shown, reads, writes, appends):
        self.name = shown
        self._path, self._at = path, 0
        self._reads, self._writes, self._appends = reads, writes, appends

    def readable(self):
        return self._reads

    def writable(self):
        return self._writes

    def seekable(self):
        return True

    def readinto(self, buffer):
        if not self._reads:
            raise io.UnsupportedOperation("not readable")
        content = base64.b64decode(
            _call("read", self._path, at=self._at, size=len(buffer), encoding="base64")
        )
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def write(self, content):
        if not self._writes:
            raise io.UnsupportedOperation("not writable")
        content = bytes(memoryview(content)[:_PIECE])
        if not content:
            return 0
        text = base64.b64encode(content).decode()
        if self._appends:
            self._at = _call("append", self._path, content=text, encoding="base64")
        else:
            _call("write", self._path, content=text, at=self._at, encoding="base64")
            self._at += len(content)
        return len(content)

    def seek(self, offset, whence=0):
        start = (0, self._at, 0)[whence] if whence != 2 else _call("stat", self._path)["size"]
        if start + offset < 0:
            raise OSError(errno.EINVAL, "a place before the beginning", self.name)
        self._at = start + offset
        return self._at

    def truncate(self, size=None):
        return _call("truncate", self._path, size=self._at if size is None else size)


class _Entry:
    """What `os.scandir` gives."""

    def __init__(self, folder, name):
        self.name, self.path = name, posixpath.join(folder, name)

    def __fspath__(self):
        return self.path

    def stat(self, *, follow_symlinks=True):
        return os.stat(self.path)

    def inode(self):
        return self.stat().st_ino

    def is_dir(self, *, follow_symlinks=True):
        return stat.S_ISDIR(self.stat().st_mode)

    def is_file(self, *, follow_symlinks=True):
        return not self.is_dir()

    def is_symlink(self):
        return False

    is_junction = is_symlink


class _Entries:
    """An iterator that can be closed, as `os.scandir` gives."""

    def __init__(self, entries):
        self._entries = iter(entries)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._entries = iter(())


def _inside(path):
    """The path below the folder, if it lies there; else None."""
    if isinstance(path, _Descriptor):
        return path.path
    if isinstance(path, int):
        return None
    text = os.fsdecode(path)
    if not text:
        return None
    full = posixpath.normpath(posixpath.join("/", text))
    if full == ROOT:
        return ""
    return full[len(ROOT) + 1 :] if full.startswith(ROOT + "/") else None


def _call(name, path, /, **arguments):
    try:
        return world.host_call("scratch." + name, path=path, **arguments)
    except world.HostError as refused:
        code, _, said = str(refused).partition(": ")
    raise OSError(getattr(errno, code, errno.EIO), said or code, posixpath.join(ROOT, path))


def open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True,
         opener=None):  # fmt: skip
    """`open`, of files in the folder too."""
    path = _inside(file)
    if path is not None and opener is not None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        path = _inside(opener(file, flags))
    if path is None:
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    kinds = set(mode)
    if len(kinds & set("rwxa")) != 1 or kinds - set("rwxabt+") or {"b", "t"} <= kinds:
        raise ValueError(f"invalid mode: {mode!r}")
    _prepare(path, kinds, is_open=opener is not None)
    reads, writes = bool(kinds & set("r+")), bool(kinds & set("wxa+"))
    raw = _Raw(path, file, reads, writes, "a" in kinds)
    if buffering == 0:
        if "b" not in kinds:
            raise ValueError("can't have unbuffered text I/O")
        return raw
    kind = io.BufferedReader if not writes else io.BufferedRandom if reads else io.BufferedWriter
    made = kind(raw, max(buffering, _BUFFER))
    if "b" in kinds:
        return made
    text = io.TextIOWrapper(made, encoding or "utf-8", errors, newline, buffering == 1)
    text.mode = mode
    return text


def _prepare(path, kinds, *, is_open):
    """Have the file there, or not, as the mode says."""
    if "r" in kinds:
        if _call("stat", path)["folder"]:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", posixpath.join(ROOT, path))
    elif "x" in kinds and not is_open and _exists(path):
        raise FileExistsError(errno.EEXIST, "File exists", posixpath.join(ROOT, path))
    elif "a" in kinds:
        _call("append", path)
    else:
        _call("write", path)


def _exists(path):
    try:
        _call("stat", path)
    except FileNotFoundError:
        return False
    return True


def _os_open(path, flags, mode=0o777, *, dir_fd=None):
    inside = _inside(path)
    if inside is None:
        return _os["open"](path, flags, mode, dir_fd=dir_fd)
    exists = _exists(inside)
    if exists and flags & os.O_CREAT and flags & os.O_EXCL:
        raise FileExistsError(errno.EEXIST, "File exists", path)
    if not exists and not flags & os.O_CREAT:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
    if not exists or flags & os.O_TRUNC:
        _call("write", inside)
    made = _Descriptor(_FIRST_DESCRIPTOR)
    made.path = inside
    return made


def _os_close(descriptor):
    if not isinstance(descriptor, _Descriptor):
        _os["close"](descriptor)


def _stat(path, *, dir_fd=None, follow_symlinks=True):
    inside = _inside(path)
    if inside is None:
        return _os["stat"](path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
    found = _call("stat", inside)
    mode = stat.S_IFDIR | 0o700 if found["folder"] else stat.S_IFREG | 0o600
    number = zlib.crc32(inside.encode(errors="replace"))
    return os.stat_result((mode, number, 1, 1, 0, 0, found["size"], 0, 0, 0))


def _lstat(path, *, dir_fd=None):
    return _stat(path, dir_fd=dir_fd, follow_symlinks=False)


def _listdir(path="."):
    inside = _inside(path)
    return _os["listdir"](path) if inside is None else _call("list", inside)


def _scandir(path="."):
    inside = _inside(path)
    if inside is None:
        return _os["scandir"](path)
    folder = os.fsdecode(path)
    return _Entries([_Entry(folder, name) for name in _call("list", inside)])


def _mkdir(path, mode=0o777, *, dir_fd=None):
    inside = _inside(path)
    if inside is None:
        return _os["mkdir"](path, mode, dir_fd=dir_fd)
    return _call("folder", inside)


def _unlink(path, *, dir_fd=None):
    inside = _inside(path)
    if inside is None:
        return _os["unlink"](path, dir_fd=dir_fd)
    if _call("stat", inside)["folder"]:
        raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
    return _call("remove", inside)


def _rmdir(path, *, dir_fd=None):
    inside = _inside(path)
    if inside is None:
        return _os["rmdir"](path, dir_fd=dir_fd)
    if not _call("stat", inside)["folder"]:
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
    return _call("remove", inside)


def _rename(src, dst, *, src_dir_fd=None, dst_dir_fd=None):
    source, target = _inside(src), _inside(dst)
    if source is None and target is None:
        return _os["rename"](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
    if source is None or target is None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", src, None, dst)
    return _call("rename", source, to=target)


def _utime(path, *arguments, **options):
    inside = _inside(path)
    if inside is None:
        return _os["utime"](path, *arguments, **options)
    _call("stat", inside)  # there are no times, but there may be no file
    return None


def _chmod(path, *arguments, **options):
    inside = _inside(path)
    if inside is None:
        if _os["chmod"] is None:
            raise NotImplementedError("os.chmod is not available in this sandbox")
        return _os["chmod"](path, *arguments, **options)
    _call("stat", inside)
    return None


def furnish():
    """Have `open`, `os` and what keeps them under another name know the folder."""
    builtins.open = io.open = tarfile.bltn_open = open
    for name, function in (
        ("close", _os_close), ("chmod", _chmod), ("listdir", _listdir), ("lstat", _lstat),
        ("mkdir", _mkdir), ("open", _os_open), ("remove", _unlink), ("rename", _rename),
        ("replace", _rename), ("rmdir", _rmdir), ("scandir", _scandir), ("stat", _stat),
        ("unlink", _unlink), ("utime", _utime),
    ):  # fmt: skip
        setattr(os, name, function)
    shutil._use_fd_functions = False
    tempfile.tempdir = ROOT
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile
    tempfile._TemporaryFileCloser.cleanup.__defaults__ = (False, _unlink)
