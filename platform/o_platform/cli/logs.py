"""`o logs`: what processes and instances printed."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from o_platform.cli.control_api import ControlApi
from o_platform.cli.terminal import say
from o_platform.errors import NotFoundError, OError
from o_platform.settings import Settings

_POLL_S = 0.2
_INSTANCE_LINES = 10_000
_SHOWN_OR_KNOWN = frozenset(
    {"at", "level", "message", "process", "logger", "exception", "pid", "child"}
)
_EVENTS = "events.jsonl"


def show(
    settings: Settings, name: str | None, *, follow: bool, tail: int, raw: bool = False
) -> None:
    """Print the end of one log, or of all of the processes'; `raw`: JSON lines as they are.

    Raises:
        NotFoundError: there is no process and no instance with this name.
    """
    folder = settings.home / "log"
    if name is not None and not (folder / f"{name}.log").exists():
        _show_instance(settings, name, follow=follow, tail=tail, raw=raw)
        return
    files = [folder / f"{name}.log"] if name else _files(folder)
    with ExitStack() as stack:
        logs = [stack.enter_context(closing(FollowedLog(path, tail))) for path in files]
        width = max((len(log.path.stem) for log in logs), default=0)
        while True:
            for log in logs:
                for line in log.new_lines():
                    text = line if raw else readable(line)
                    say(text if name else f"{log.path.stem:<{width}}  {text}")
            if not follow:
                return
            time.sleep(_POLL_S)


def _files(folder: Path) -> list[Path]:
    events = folder / _EVENTS
    return [*sorted(folder.glob("*.log")), *([events] if events.exists() else [])]


def readable(line: str) -> str:
    """A JSON line of ours as `time level message`; any other line as it is."""
    try:
        said = json.loads(line)
        text = f"{said['at'][11:19]} {said.get('level', ''):<7} {said['message']}"
    except (ValueError, KeyError, TypeError):
        return line
    further = {key: value for key, value in said.items() if key not in _SHOWN_OR_KNOWN}
    fields = " ".join(f"{key}={value}" for key, value in further.items())
    exception = said.get("exception")
    return f"{text}{f'  [{fields}]' if fields else ''}" + (f"\n{exception}" if exception else "")


class FollowedLog:
    """One log file that may be rotated while it is read."""

    def __init__(self, path: Path, tail: int) -> None:
        """Reading begins `tail` lines before the end."""
        self.path = path
        self._stream = path.open("rb")
        self._first = deque(self._stream, maxlen=tail)

    def new_lines(self) -> Iterator[str]:
        """At first the last lines, then what has come since."""
        yield from _texts(self._first)
        self._first.clear()
        yield from _texts(self._stream)
        if self._was_rotated():
            self.close()
            self._stream = self.path.open("rb")
            yield from _texts(self._stream)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _was_rotated(self) -> bool:
        if not self.path.exists():
            return False
        return os.fstat(self._stream.fileno()).st_ino != self.path.stat().st_ino


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    return (line.decode(errors="replace").rstrip("\n") for line in lines)


def _show_instance(settings: Settings, name: str, *, follow: bool, tail: int, raw: bool) -> None:
    api = ControlApi(settings.run / "control.sock")
    lines = _instance_lines(api, settings, name)
    printed = max(0, len(lines) - tail)
    while True:
        for line in lines[printed:]:
            say(line if raw else readable(line))
        if not follow:
            return
        printed = len(lines)
        time.sleep(_POLL_S)
        lines = _instance_lines(api, settings, name)


def _instance_lines(api: ControlApi, settings: Settings, name: str) -> list[str]:
    try:
        text: str = api.get(f"/o/v1/instances/{name}/logs", tail=_INSTANCE_LINES)["text"]
    except OError as error:
        known = ", ".join(path.stem for path in _files(settings.home / "log"))
        raise NotFoundError(
            f"no process is called {name!r} (there are: {known or 'none yet'}), and as an "
            f"instance: {error.message}"
        ) from error
    return text.splitlines()
