"""A turn inside the bridge: who runs it, under which token, and who waits for it."""

from __future__ import annotations

from asyncio import TimerHandle
from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from itertools import zip_longest
from typing import Final, NamedTuple

from msgspec.structs import replace

from o_contracts.bridge import CANCELLED, Role, StepRecord, TurnCommit, TurnOpen
from o_contracts.ids import is_valid_id, new_id, now_us
from o_contracts.llm import SUMMARY_SEQ, ProviderTrace
from o_contracts.messages import Message, Usage
from o_platform.agents.step_traces import StepTrace
from o_platform.bridge.connection import Connection
from o_platform.bridge.memo import Memo
from o_platform.bridge.overlay import Overlay
from o_platform.bridge.views import AgentView
from o_platform.errors import BadInputError, ConflictError, OError

_NOTHING: Final = Usage()


class CancelledTurnError(ConflictError):
    """A client cancelled the turn; it may only end now."""

    code = CANCELLED


Stop = Callable[[OError], None]


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


class ServedCall(NamedTuple):
    """A model call that was answered, as the bridge saw it; `digest` is empty if it was free.

    `trace` is there if what providers are sent is kept.
    """

    seq: int
    digest: str
    model: str
    usage: Usage
    llm_us: int
    trace: ProviderTrace | None = None


class State(Enum):
    """Where a turn is. Over: it has an outcome, or its runner is gone and nobody waited."""

    WAITING = auto()
    RUNNING = auto()
    COMMITTING = auto()
    OVER = auto()


class TurnKey(NamedTuple):
    """Names a request: the same one is one turn, however often it is sent.

    `thread_id` is a conversation's id, or the agent's for its default conversation.
    """

    thread_id: str
    request_key: str


class Turn:
    """One turn; `opening` is its runner, or the one that will run it when its agent is free."""

    __slots__ = (
        "active_at", "asked", "asked_model", "calls", "created_us", "granted", "host_calls",
        "is_cancelled", "joiners", "journaled", "key", "looking_up", "memo", "opening", "overlay",
        "published", "run_id", "served", "started_at", "state", "stops", "timer", "token",
        "tool_calls", "view",
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
        self.host_calls = 0
        """How many host calls its tools have made."""
        self.tool_calls: Counter[str] | None = None
        """How often its runner has called each built-in tool."""
        self.asked = 0
        """How many model calls its runner has asked for."""
        self.asked_model = ""
        """Of which model it asked for the last one."""
        self.served: list[ServedCall] = []
        """The model calls its runner got an answer to."""
        self.created_us = now_us()
        self.is_cancelled = False
        self.stops: dict[int, Stop] | None = None
        """By exchange: what ends a wait of its runner when the turn is cancelled."""
        self.active_at = 0.0
        """When its runner last asked for something (seconds of the event loop's clock)."""
        self.published: list[str] | None = None
        """Of a background turn: the events of earlier attempts; None until it is made known."""

    def stop_with(self, exchange: int, stop: Stop) -> None:
        """Have `stop` called when the turn is cancelled while this exchange is open."""
        if self.stops is None:
            self.stops = {}
        self.stops[exchange] = stop

    def forget_stop(self, exchange: int) -> None:
        """The exchange is over."""
        if self.stops is not None:
            self.stops.pop(exchange, None)

    @property
    def agent_id(self) -> str:
        """Whose turn it is; its thread until it has started."""
        return self.key.thread_id if self.view is None else self.view.base.agent_id

    @property
    def opened_view(self) -> AgentView:
        """The agent as it opened with it.

        Raises:
            LookupError: it has not started.
        """
        if self.view is None:
            raise LookupError(f"{self.run_id} has not started")
        return self.view

    def checked(self, body: TurnCommit) -> TurnCommit:
        """The outcome as it is kept: a genome neither counts for itself nor names other runs.

        Raises:
            BadInputError: the id of a message is none.
        """
        served = self.served if len(self.served) == 1 else _steps_in(self.served)
        steps = [
            _step(call, record, body.stop_reason)
            for call, record in zip_longest(served, body.steps[: len(served)])
        ]
        messages = [self._own(message) for message in body.messages]
        return replace(body, messages=messages, usage=_sum(self.served), steps=steps)

    def traces(self, body: TurnCommit) -> list[StepTrace]:
        """Traces of the steps of a checked outcome."""
        if all(call.trace is None for call in self.served):
            return []
        return [
            StepTrace(step.id, call.trace)
            for step, call in zip(body.steps, _steps_in(self.served), strict=False)
            if call.trace is not None
        ]

    def _own(self, message: Message) -> Message:
        if not is_valid_id(message.id, "message"):
            raise BadInputError(f"{message.id!r} is not the id of a message; use `message-<uuid>`")
        if message.run_id == self.run_id:
            return message
        return replace(message, run_id=self.run_id)

    def edits(self) -> Overlay:
        """Its memory edits, to be added to."""
        if self.overlay is None:
            self.overlay = Overlay(self.opened_view.base.blocks)
        return self.overlay


def _steps_in(served: list[ServedCall]) -> list[ServedCall]:
    """The calls that were steps of the turn, in order."""
    return sorted((call for call in served if call.seq < SUMMARY_SEQ), key=_seq)


def _seq(call: ServedCall) -> int:
    return call.seq


def _step(call: ServedCall, record: StepRecord | None, stop_reason: str) -> StepRecord:
    """What the bridge served as a step; id, stop reason and tool time are the instance's."""
    if record is None:
        record = StepRecord(new_id("step"), "", _NOTHING, stop_reason)
    return replace(record, model=call.model, usage=call.usage, llm_us=call.llm_us)


def _sum(served: list[ServedCall]) -> Usage:
    if len(served) == 1:
        return served[0].usage
    counts = [call.usage for call in served]
    return Usage(
        sum(usage.prompt_tokens for usage in counts),
        sum(usage.completion_tokens for usage in counts),
        sum(usage.cached_input_tokens for usage in counts),
        sum(usage.reasoning_tokens for usage in counts),
    )


def cancelled(turn: Turn) -> CancelledTurnError:
    """The error for whatever a cancelled turn asks for."""
    return CancelledTurnError(f"{turn.run_id} was cancelled", run_id=turn.run_id)
