"""How a call ends inside a worker: forced ends that no guest can undo, values, tracebacks."""

from __future__ import annotations

import json
import traceback
from types import TracebackType
from typing import Any, Final, NoReturn

from o_sandbox.outcome import Reason

FILE_NAME: Final = "<tool>"
"""What guest code is called in tracebacks."""
MAX_ERROR: Final = 8192
"""Characters of an error text."""
MAX_FRAMES: Final = 12
"""Calls of a traceback that are shown."""


class Ended(BaseException):
    """The call is over; a guest that catches it only delays that."""


class Verdict:
    """The end that was forced on a call, if one was: the first counts."""

    def __init__(self) -> None:
        """Nothing was forced."""
        self.forced: tuple[Reason, str] | None = None

    def end(self, reason: Reason, error: str) -> NoReturn:
        """End the call.

        Raises:
            Ended: always.
        """
        self.forced = self.forced or (reason, error)
        raise Ended


def encoded(value: Any) -> bytes:
    """A guest's value as JSON; what has no JSON form becomes text.

    Raises:
        TypeError: keys that are no strings.
        ValueError: it contains itself, or a number that JSON has not.
    """
    return _encode(value).encode(errors="replace")


def described(error: BaseException, source: str) -> str:
    """An error with the lines of the guest's source that led to it, and no others."""
    lines = ["", *source.splitlines()]
    frames = _frames(error.__traceback__, lines)
    if len(frames) > MAX_FRAMES:
        left_out = f"  ... {len(frames) - MAX_FRAMES} more calls ..."
        frames = [frames[0], left_out, *frames[1 - MAX_FRAMES :]]
    said = ["Traceback (most recent call last):", *frames, f"{type(error).__name__}: {error}"]
    return "\n".join(said)[:MAX_ERROR]


def _frames(trace: TracebackType | None, lines: list[str]) -> list[str]:
    return [
        f'  File "{FILE_NAME}", line {number}, in {frame.f_code.co_name}\n'
        f"    {lines[number].strip() if number < len(lines) else ''}"
        for frame, number in traceback.walk_tb(trace)
        if frame.f_code.co_filename == FILE_NAME
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: getattr(value, name) for name in fields}
    return str(value)


_encode: Final = json.JSONEncoder(default=_plain, ensure_ascii=False, allow_nan=False).encode
