"""Bait on the host, and how to see that it was taken.

A lane of the suite has a folder of its own: a file with a secret, a place where a marker would
appear, sockets that listen (TCP and UDP on loopback, a Unix socket). Nothing here runs in the
background: connections wait in the kernel's queue until `taken` looks.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from o_sandbox.attacks.attack import Detector

VARIABLE = "O_CANARY"
"""Name of the host's environment variable that no guest may see."""
RESIDUE = "residue-of-an-earlier-call-"
"""How an argument of an earlier call begins; payloads search for it."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Texts that must never come out of a sandbox."""

    file: str
    variable: str
    residue: str
    claim: str

    @classmethod
    def fresh(cls) -> Secrets:
        """New random ones."""
        file, variable, residue, claim = (secrets.token_hex(12) for _ in range(4))
        return cls(f"f{file}", f"v{variable}", f"{RESIDUE}{residue}", f"c{claim}")

    def found_in(self, text: str) -> frozenset[Detector]:
        """The detectors whose secret is in `text`."""
        by_detector = {
            Detector.FILE: self.file,
            Detector.VARIABLE: self.variable,
            Detector.LEAK: self.residue,
            Detector.CLAIM: self.claim,
        }
        return frozenset(each for each, secret in by_detector.items() if secret in text)


class Canaries:
    """One lane's bait; a context manager that sets it up and takes it away."""

    def __init__(self, folder: Path, secret: Secrets) -> None:
        """`folder` exists, is empty, and its path is short enough for a Unix socket."""
        self.secret = secret
        self._folder = folder
        self._file = folder / "canary.txt"
        self._marker = folder / "marker"
        self._unix = folder / "listener"
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        """Lay the bait."""
        self._file.write_text(self.secret.file)
        tcp, port = _loopback_pair(self._sockets)
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(self._unix))
        self._sockets.append(unix)
        for each in (tcp, unix):
            each.listen(64)
        for each in self._sockets:
            each.setblocking(False)
        self._port = port
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the sockets; the folder is the caller's."""
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    def targets(self) -> dict[str, object]:
        """What a payload is told: the argument `t`. Holds no secret but the word for a claim."""
        return {
            "file": str(self._file),
            "folder": str(self._folder),
            "marker": str(self._marker),
            "port": self._port,
            "socket": str(self._unix),
            "variable": VARIABLE,
            "residue": RESIDUE,
            "claim": self.secret.claim,
            "python": sys.executable,
        }

    def taken(self, text: str) -> frozenset[Detector]:
        """What happened since the last look; lays new bait where some was taken.

        Args:
            text: everything that came out of the call.
        """
        fired = set(self.secret.found_in(text))
        if self._file_changed():
            fired.add(Detector.FILE)
        if self._strangers():
            fired.add(Detector.MARKER)
        if any([_was_touched(each) for each in self._sockets]):
            fired.add(Detector.LISTENER)
        return frozenset(fired)

    def _file_changed(self) -> bool:
        try:
            unchanged = self._file.is_file() and self._file.read_text() == self.secret.file
        except (OSError, UnicodeDecodeError):
            unchanged = False
        if not unchanged:
            self._file.unlink(missing_ok=True)
            self._file.write_text(self.secret.file)
        return not unchanged

    def _strangers(self) -> bool:
        known = {self._file.name, self._unix.name}
        found = [path for path in self._folder.iterdir() if path.name not in known]
        for path in found:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return bool(found)


def expose_variable(secret: Secrets) -> None:
    """Put the canary variable into this process, before sandboxes start from it."""
    os.environ[VARIABLE] = secret.variable


def _loopback_pair(opened: list[socket.socket]) -> tuple[socket.socket, int]:
    """A TCP and a UDP socket on one port of 127.0.0.1."""
    for _ in range(100):
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        port: int = tcp.getsockname()[1]
        try:
            udp.bind(("127.0.0.1", port))
        except OSError:
            tcp.close()
            udp.close()
            continue
        opened += [tcp, udp]
        return tcp, port
    raise OSError("no port of 127.0.0.1 is free for both TCP and UDP")


def _was_touched(listener: socket.socket) -> bool:
    touched = False
    with contextlib.suppress(BlockingIOError):
        while True:
            if listener.type == socket.SOCK_DGRAM:
                listener.recvfrom(65536)
            else:
                listener.accept()[0].close()
            touched = True
    return touched
