"""A turn inside the bridge: who runs it, under which token, and who waits for it."""

from __future__ import annotations

from asyncio import TimerHandle
from enum import Enum, auto
from hashlib import blake2b
from typing import Final, NamedTuple

from msgspec.structs import replace

from o_contracts.bridge import Role, TurnCommit, TurnOpen
from o_contracts.messages import Usage
from o_platform.bridge.connection import Connection
from o_platform.bridge.memo import Memo
from o_platform.bridge.overlay import Overlay
from o_platform.bridge.views import AgentView

_LONGEST_NAME: Final = 200
_NOTHING: Final = Usage()


class Caller(NamedTuple):
    """Who is at the other end of an instance's socket, as the database says."""

    instance_id: str
    role: Role
    variant: str
    lineage: str

    @property
    def is_durable(self) -> bool:
        """Whether what its turns do is kept."""
        return self.role in {"stable", "canary"}


class Opening(NamedTuple):
    """A `turn.open` that is not answered, or whose answer let its sender run the turn."""

    connection: Connection
    exchange: int
    request: TurnOpen
    caller: Caller

    def is_from(self, connection: Connection, exchange: int) -> bool:
        """Whether it came in by this exchange."""
        return self.exchange == exchange and self.connection is connection


class State(Enum):
    """Where a turn is. Over: it has an outcome, or its runner is gone and nobody waited."""

    WAITING = auto()
    RUNNING = auto()
    COMMITTING = auto()
    OVER = auto()


class TurnKey(NamedTuple):
    """Names a request: the same one is one turn, however often it is sent."""

    agent_id: str
    request_key: str


class Turn:
    """One turn; `opening` is its runner, or the one that will run it when its agent is free."""

    __slots__ = (
        "active_at", "asked", "calls", "granted", "joiners", "journaled", "key", "looking_up",
        "memo", "opening", "overlay", "run_id", "spent", "started_at", "state", "timer", "token",
        "view",
    )  # fmt: skip

    def __init__(self, key: TurnKey, opening: Opening, run_id: str, memo: Memo) -> None:
        """A turn that waits for its agent."""
        self.key = key
        self.opening = opening
        self.run_id = run_id
        self.memo = memo
        self.state = State.WAITING
        self.granted = False
        """Its agent is free for it; it starts once it is looked up and loaded."""
        self.looking_up = False
        self.token = 0
        self.view: AgentView | None = None
        self.overlay: Overlay | None = None
        self.journaled = False
        self.joiners: list[Opening] = []
        self.timer: TimerHandle | None = None
        self.started_at = 0.0
        self.calls = 0
        """How many of its model and tool calls are under way."""
        self.asked = 0
        """How many model calls its runner has asked for."""
        self.spent: dict[int, Usage] = {}
        """Tokens of each model call by its number in the run, as the models counted them."""
        self.active_at = 0.0
        """When its runner last asked for something (seconds of the event loop's clock)."""

    @property
    def opened_view(self) -> AgentView:
        """The agent as it opened with it.

        Raises:
            LookupError: it has not started.
        """
        if self.view is None:
            raise LookupError(f"{self.run_id} has not started")
        return self.view

    def counted(self, body: TurnCommit) -> TurnCommit:
        """The outcome with our own counts of tokens: a genome does not report on itself."""
        spent = self.spent
        total = spent.get(0, _NOTHING) if len(spent) < 2 else _sum(spent)
        if body.usage == total and len(body.steps) < 2:
            return body
        steps = [
            replace(step, usage=spent.get(number, _NOTHING))
            for number, step in enumerate(body.steps)
        ]
        return replace(body, usage=total, steps=steps)

    def edits(self) -> Overlay:
        """Its memory edits, to be added to."""
        if self.overlay is None:
            self.overlay = Overlay(self.opened_view.base.blocks)
        return self.overlay


def _sum(spent: dict[int, Usage]) -> Usage:
    counts = spent.values()
    return Usage(
        sum(usage.prompt_tokens for usage in counts),
        sum(usage.completion_tokens for usage in counts),
        sum(usage.cached_input_tokens for usage in counts),
        sum(usage.reasoning_tokens for usage in counts),
    )


def request_key(request: TurnOpen) -> str:
    """The request's name among its agent's: its OTIDs if it has any, else its request id."""
    if request.otids:
        return _short("otid:" + "|".join(request.otids))
    return _short("request:" + request.request_id)


def _short(name: str) -> str:
    name = name.replace("\0", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL does not store NUL.
    if len(name) <= _LONGEST_NAME:
        return name
    return "hash:" + blake2b(name.encode(), digest_size=32).hexdigest()
