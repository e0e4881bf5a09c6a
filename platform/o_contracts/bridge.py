"""The operations of the bridge: their names and bodies.

| op | request | answer |
|---|---|---|
| `hello` | `Hello` | `Welcome` |
| `turn.open` | `TurnOpen` | `TurnOpened` (after the turns queued before it) |
| `llm.complete` | `LlmRequest` | `LlmResult`, streamed as `LlmDelta` when asked |
| `tool.call` | `ToolCallRequest` | `ToolCallResult` |
| `turn.watch` | `TurnWatch` | only ever an error: `cancelled`, when the turn is |
| `host.call` | `HostCallRequest` | `HostCallResult` |
| `tokens.count` | `TokensCount` | `TokensCounted` |
| `context.read` | `ContextRead` | `ContextFound` |
| `turn.publish` | `TurnPublish` | `Empty` |
| `turn.commit` | `TurnCommit` | `TurnCommitted` |
| `turn.abandon` | `TurnAbandon` | `Empty` |

A role decides what these may do (`stable` and `canary`: everything; `shadow`: reads as of the
original turn's version, writes discarded; `bench`: agents of its own, in memory). The instance does
not notice the difference.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from o_contracts.messages import AgentContext, Block, Id, Message, StopReason, ToolReturn, Usage

HELLO: Final = "hello"
TURN_OPEN: Final = "turn.open"
LLM_COMPLETE: Final = "llm.complete"
TOOL_CALL: Final = "tool.call"
HOST_CALL: Final = "host.call"
TURN_COMMIT: Final = "turn.commit"
TURN_ABANDON: Final = "turn.abandon"
TURN_WATCH: Final = "turn.watch"
TURN_PUBLISH: Final = "turn.publish"
TOKENS_COUNT: Final = "tokens.count"
CONTEXT_READ: Final = "context.read"

START: Final = "o.start"
"""The name of the host call that asks for a `Start`; it needs no grant."""

PENDING_APPROVAL: Final = "PENDING_APPROVAL"
"""The error's code, as the API has it, for a turn while tool calls wait for an answer."""

CANCELLED: Final = "cancelled"
"""The error's code for what a turn asks for after a client cancelled it."""

Role = Literal["stable", "canary", "shadow", "bench"]


class Hello(Struct, frozen=True):
    """First message of a worker: the versions it speaks, and who it is (for logs only)."""

    versions: list[int]
    variant: str
    pid: int


class Welcome(Struct, frozen=True):
    """The version both speak, and what the bridge knows about the caller by its socket."""

    version: int
    instance_id: str
    role: Role
    variant: str
    max_request_bytes: int


class TurnOpen(Struct, frozen=True, omit_defaults=True):
    """Ask to run a turn. `agent_id` may be the id of one of the agent's conversations instead.

    `request_id` is `x-request-id`; `otids` the client's ids of its messages; `attempt` counts
    Envoy's tries (1 = first) and `sdk_retry` the SDK's (0 = first). `have_version` is the agent
    version in the instance's cache (0 = none). `history` is how many messages it wants at most.

    `answers` is there when the request answers tool calls that wait: by tool call id (`""`: all of
    them), whether the platform may run it; `answered_request` is the id of the message that asked.

    `background` is the request's body when the turn is to go on without its client.
    """

    agent_id: str
    request_id: str
    body_digest: str
    client: str = ""
    otids: list[str] = []
    attempt: int = 1
    sdk_retry: int = 0
    have_version: int = 0
    history: int = 60
    answers: dict[str, bool] | None = None
    answered_request: str = ""
    background: str = ""


class FinishedTurn(Struct, frozen=True):
    """The record of a turn that already ran under this request's name."""

    messages: list[Message]
    stop_reason: StopReason
    usage: Usage
    step_count: int


class TurnOpened(Struct, frozen=True, omit_defaults=True):
    """Run the turn under `token`, or answer from `finished` (then nothing else is set).

    `context` is absent when `have_version` is still current (the cache is right). `published` are
    the events that earlier attempts of a background turn have published, in order.
    """

    run_id: str
    version: int = 0
    token: int = 0
    context: AgentContext | None = None
    finished: FinishedTurn | None = None
    published: list[str] = []


class ToolCallRequest(Struct, frozen=True):
    """Execute a tool whose home is the bridge. `seq` counts tool calls within the run from 0."""

    token: int
    run_id: str
    seq: int
    tool_call_id: str
    name: str
    arguments: str


class ToolCallResult(Struct, frozen=True, omit_defaults=True):
    """What the tool returned, and the blocks it changed (already with their new versions).

    `removed` are the ids of blocks that the agent does not have any more.
    """

    result: ToolReturn
    blocks: list[Block] = []
    removed: list[str] = []


class TurnWatch(Struct, frozen=True):
    """Be told when the turn is cancelled, while nothing else is asked of the bridge."""

    token: int
    run_id: str


class HostCallRequest(Struct, frozen=True):
    """A tool in a sandbox uses a capability; `arguments` is a JSON object.

    `seq` numbers the host calls of the run, the same in every attempt; `tool` is the one that asks.
    """

    token: int
    run_id: str
    seq: int
    tool: str
    name: str
    arguments: str


class HostCallResult(Struct, frozen=True, omit_defaults=True):
    """What the platform did. `value` is JSON text if `outcome` is `ok`, else `error` a sentence."""

    outcome: Literal["ok", "error", "denied"]
    value: str = "null"
    error: str = ""
    blocks: list[Block] = []


class Start(Struct, frozen=True):
    """Chance and time of a turn's tools: the same in every attempt and in the shadow's copy of it.

    So they ask the outside the same, and what is known already answers. `seed` is in hexadecimal,
    `now_ns` Unix time.
    """

    seed: str
    now_ns: int


class TurnPublish(Struct, frozen=True):
    """Events of a background turn, for clients that come back: JSON texts.

    `first` is the number of the first one; a turn's events are numbered from 1.
    """

    token: int
    run_id: str
    first: int
    events: list[str]


class StepRecord(Struct, frozen=True, omit_defaults=True):
    """One LLM call of a turn, for `GET /v1/steps`.

    `sandbox_us` is the part of `tool_us` that went into sandboxes, their host calls included.
    """

    id: Id
    model: str
    usage: Usage
    stop_reason: str
    llm_us: int = 0
    tool_us: int = 0
    sandbox_us: int = 0


class Compaction(Struct, frozen=True):
    """From now on the thread's window begins with a summary, which the turn's messages hold.

    `first_kept` is the first message that is shown after it, `""` when none of those before is.
    """

    summary_id: Id
    first_kept: str


class TokensCount(Struct, frozen=True):
    """Ask how many tokens each of these texts is to a model."""

    model: str
    texts: list[str]


class TokensCounted(Struct, frozen=True):
    """The counts, in the order of the texts."""

    tokens: list[int]


class ContextRead(Struct, frozen=True):
    """Ask for an agent as it is now, without opening a turn. `agent_id` may be a conversation's."""

    agent_id: str
    history: int


class ContextFound(Struct, frozen=True):
    """The agent, and how many texts and messages it can search besides."""

    context: AgentContext
    archival_count: int
    recall_count: int


class TurnCommit(Struct, frozen=True, omit_defaults=True):
    """The whole outcome of a turn, made durable in one transaction, once.

    `agent_id` is what the turn was opened with: the agent, or its conversation.
    `messages` hold what the client sent first (with its otids), then what the agent made, in
    order.
    """

    token: int
    run_id: str
    agent_id: str
    messages: list[Message]
    steps: list[StepRecord]
    stop_reason: StopReason
    usage: Usage
    compaction: Compaction | None = None


class TurnCommitted(Struct, frozen=True, omit_defaults=True):
    """`version` is the agent's version after this turn; 0 when the cache must be dropped.

    `finished` is set when another attempt of the same turn was first: answer with that.
    `begun_run_ids` are background runs that the turn led to.
    """

    version: int
    finished: FinishedTurn | None = None
    begun_run_ids: list[str] = []


class TurnAbandon(Struct, frozen=True, omit_defaults=True):
    """The turn ended without an outcome; its journal stays, its queue moves on.

    `is_final`: trying it again would fail in the same way, so a background turn is over, and the
    run of any turn is kept as failed.
    """

    token: int
    run_id: str
    code: str
    message: str
    detail: dict[str, Any] = {}
    is_final: bool = False
    stop_reason: StopReason = "error"
