"""Keeps an engine process alive: starts it, holds its socket, starts it again when it dies.

The socket belongs to the keeper, so callers may connect while an engine is being replaced: they are
served by the next one. Whoever uses this package keeps an engine for itself; in an instance, the
process that starts the workers does, and the workers connect by path.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import msgspec

from o_sandbox import program
from o_sandbox.engine.settings import EngineSettings, Ready
from o_sandbox.jail import Layer, missing
from o_sandbox.protocol import SandboxUnavailableError

_BACKLOG: Final = 128
_STOP_PATIENCE_S: Final = 2.0
log = logging.getLogger(__name__)


class EngineKeeper:
    """One engine process and its socket."""

    def __init__(self, settings: EngineSettings, path: Path | None = None) -> None:
        """`path`: where to listen, in a folder only the user may enter; None: a new folder."""
        self._settings = settings
        self._own_folder = None if path else tempfile.TemporaryDirectory(prefix="o-engine-")
        self.path = path or Path(str(self._own_folder and self._own_folder.name)) / "engine.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self.layers: list[Layer] = []
        self.starts = 0
        self.load_s = 0.0

    def ensure(self) -> None:
        """Return with an engine that serves; starts one if none lives. Blocks.

        Raises:
            SandboxUnavailableError: none can be started; says why.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()

    @property
    def pid(self) -> int | None:
        """The engine's process id, if one was started."""
        return self._process.pid if self._process else None

    def kill(self) -> None:
        """End an engine that does not answer; `ensure` starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End the engine and remove the socket."""
        with self._lock:
            self._end_process()
            if self._listener is not None:
                self._listener.close()
                self.path.unlink(missing_ok=True)
                self._listener = None
            if self._own_folder is not None:
                self._own_folder.cleanup()

    def _start(self) -> None:
        self._end_process()
        listener = self._listening()
        status, theirs = os.pipe()
        try:
            made = program.command(
                "o_sandbox.engine.process", self._settings.to_json(),
                str(listener.fileno()), str(theirs),
            )  # fmt: skip
            self._process = subprocess.Popen(  # noqa: S603
                made, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={},
                pass_fds=(listener.fileno(), theirs),
            )  # fmt: skip
        finally:
            os.close(theirs)
        self.starts += 1
        threading.Thread(target=_relay, args=(self._process,), daemon=True).start()
        self._await_ready(status)

    def _await_ready(self, status: int) -> None:
        with os.fdopen(status, "rb") as reader:
            line = reader.readline()
        if not line:
            self._end_process()
            raise SandboxUnavailableError(
                "the sandbox's engine did not start; what it said on standard error tells why"
            )
        ready = msgspec.json.decode(line, type=Ready)
        self.layers, self.load_s = ready.layers, ready.load_s
        for layer in missing(self.layers):
            log.warning("the engine's jail lacks %s: %s", layer.name, layer.detail)

    def _listening(self) -> socket.socket:
        if self._listener is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.unlink(missing_ok=True)
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(self.path))
            self.path.chmod(0o600)
            self._listener.listen(_BACKLOG)
        return self._listener

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _relay(process: subprocess.Popen[bytes]) -> None:
    """Pass on what the engine says; it may not write to a file itself."""
    if process.stderr is None:
        return
    with process.stderr as said:
        for line in said:
            sys.stderr.write(line.decode(errors="replace"))
            sys.stderr.flush()
