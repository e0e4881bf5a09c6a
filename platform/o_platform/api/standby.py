"""A spare process that takes over the listening socket when the serving one is killed.

Importing the control plane takes more than a second, so a killed one would be missed for as long.
Therefore it forks a spare right after its imports, before any thread or event loop exists. The
spare builds what it will serve with, then blocks on a pipe. When the serving process dies, the pipe
ends, and the spare serves on the same socket: connections made meanwhile wait in its queue, none is
refused.

The respawned process binds a socket of its own, and moves it to the socket's path once all of it
is up: until then the spare serves as well. The spare notices that the path names another socket,
finishes what it began, and ends. It ends as well if no successor comes.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BACKLOG: Final = 2048
_ENOUGH: Final = b"."
_PROBE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, and the path that is to name it; `inode` is that of its name."""

    socket: socket.socket
    path: Path
    inode: int

    @classmethod
    def open(cls, path: Path) -> Listener:
        """Listen beside `path`.

        The socket belongs to whoever Envoy runs as, and is open to nobody else.

        Raises:
            OSError: the folder is not there or not writable.
        """
        staged = _staged(path)
        staged.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous = os.umask(0o777 & ~stat.S_IRUSR & ~stat.S_IWUSR)
        try:
            listening.bind(str(staged))
        finally:
            os.umask(previous)
        _give_to_envoy(staged)
        listening.listen(BACKLOG)
        return cls(listening, path, staged.stat().st_ino)

    def publish(self) -> None:
        """Let `path` name this socket from now on."""
        _staged(self.path).rename(self.path)

    def has_predecessor(self) -> bool:
        """Whether somebody listens at `path` already: the spare of a process that was killed."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_S)
            try:
                probe.connect(str(self.path))
            except OSError:
                return False
            return True

    def is_published(self) -> bool:
        """Whether `path` names this socket, and not one of a successor."""
        try:
            return self.path.stat().st_ino == self.inode
        except FileNotFoundError:
            return False


@dataclass(frozen=True, slots=True)
class Spare:
    """The forked spare, from the serving process's side; `lifeline` is the pipe's writing end."""

    pid: int
    lifeline: int

    def dismiss(self) -> None:
        """Let the spare end: the serving process stops on purpose."""
        try:
            os.write(self.lifeline, _ENOUGH)
        except BrokenPipeError:
            pass  # it was killed before us
        os.close(self.lifeline)
        os.waitpid(self.pid, 0)


@dataclass(frozen=True, slots=True)
class Vigil:
    """The spare, from its own side; `lifeline` is the pipe's reading end."""

    lifeline: int

    def hold(self) -> None:
        """Return when the serving process was killed; if it stops on purpose, end this one."""
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        if os.read(self.lifeline, 1) == _ENOUGH:
            os._exit(0)
        os.close(self.lifeline)
        signal.signal(signal.SIGINT, interrupt)


def fork_spare() -> Spare | Vigil:
    """Fork a spare: the serving process gets it as `Spare`, the spare itself as `Vigil`.

    Must be called before any thread or event loop exists.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        return Spare(pid, writing)
    os.close(writing)
    return Vigil(reading)


def _staged(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _give_to_envoy(name: Path) -> None:
    envoy = name.parent / "envoy"
    if os.geteuid() == 0 and envoy.exists():
        owner = envoy.stat()
        os.chown(name, owner.st_uid, owner.st_gid)
