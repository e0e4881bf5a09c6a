"""Operations of the bridge's control socket that other processes call.

They travel in the frames of `o_contracts.frames`, after `hello` (answered with `ControlWelcome`),
on a socket that only the platform's own user can open.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

CACHE_DROP: Final = "cache.drop"
KEYS_RELOAD: Final = "keys.reload"
"""Read the encryption keys anew and seal with the first of them; `Empty` both ways."""
STATS: Final = "stats"
TURNS_CANCEL: Final = "turns.cancel"
TURNS_LIST: Final = "turns.list"


class ControlWelcome(Struct, frozen=True):
    """The bridge's answer to `hello` on its control socket: it is ready."""

    version: int
    pid: int


class CacheDrop(Struct, frozen=True):
    """Forget what is cached of these agents; answered with `Empty` once it is forgotten.

    Sent after the commit that changed them, so a turn opened after the answer reads the change.
    """

    agent_ids: list[str]


class TurnsCancel(Struct, frozen=True, omit_defaults=True):
    """Cancel turns of an agent or conversation: those of these runs, else all.

    Answered with `TurnsCancelled`.
    """

    agent_id: str
    run_ids: list[str] = []


class TurnsCancelled(Struct, frozen=True):
    """The runs that were told to end; each is durable, as cancelled, in a moment."""

    run_ids: list[str]


class TurnsList(Struct, frozen=True):
    """Ask for the turns that run or wait; answered with `RunningTurns`."""


class RunningTurn(Struct, frozen=True):
    """A turn without an outcome yet. `created_us`: microseconds since the Unix epoch."""

    run_id: str
    agent_id: str
    is_running: bool
    created_us: int
    variant: str
    instance_id: str
    conversation_id: str | None = None
    background: bool = False


class RunningTurns(Struct, frozen=True):
    """Answer of `turns.list`, oldest first."""

    turns: list[RunningTurn]


class BridgeStats(Struct, frozen=True):
    """Answer of `stats`: totals since the bridge's start; `open_turns` is a present value.

    `malformed` counts broken frames, and connections over the limit, by instance id.
    """

    open_turns: int
    opened: int
    joined: int
    answered_from_record: int
    resumed: int
    fenced: int
    committed: int
    batches: int
    retried_alone: int
    refused: int
    context_hits: int
    context_misses: int
    llm_calls: int
    llm_from_journal: int
    tool_calls: int
    host_calls: int
    malformed: dict[str, int]
