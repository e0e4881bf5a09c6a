"""Fencing tokens, and the errors of those who have none or wait too long for one."""

from __future__ import annotations

import itertools

from o_platform.errors import ConflictError


class BusyError(ConflictError):
    """The turns queued before this one took too long."""

    code = "busy"
    retryable = True

    @classmethod
    def after(cls, wait_s: float, thread_id: str) -> BusyError:
        """Of a turn that waited `wait_s` seconds for its thread."""
        return cls(
            f"{thread_id} is still busy with earlier turns after {wait_s:g} s; try again later",
            agent_id=thread_id,
        )


class FencedError(ConflictError):
    """The token is not that of a running turn of this connection: open the turn again."""

    code = "fenced"
    retryable = True


class Tokens:
    """Fencing tokens, never given twice, also across restarts."""

    def __init__(self, epoch: int) -> None:
        """`epoch` is this start's number (`next_epoch`)."""
        self._next = itertools.count((epoch << 32) + 1)

    def fresh(self) -> int:
        """A token greater than every one before."""
        return next(self._next)
