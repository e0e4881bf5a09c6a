"""What the LLM gateway is asked.

`llm.complete`: instances call it on the bridge, the bridge on the gateway. `llm.embed` and
`models.list` are the platform's own.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from o_contracts.messages import ToolCall, Usage

MODELS_LIST: Final = "models.list"
LLM_EMBED: Final = "llm.embed"
LLM_COUNT: Final = "llm.count"
MAX_EMBEDDED: Final = 64
"""Texts of one `llm.embed`, so that their vectors fit a frame."""


SUMMARY_SEQ: Final = 10_000
"""From here on `LlmRequest.seq` numbers calls that summarize a conversation, and are no steps."""


class LlmMessage(Struct, frozen=True, omit_defaults=True, gc=False):
    """One message of a model's context window, in the chat-completions sense."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class LlmTool(Struct, frozen=True):
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class LlmRequest(Struct, frozen=True, omit_defaults=True):
    """Body of `llm.complete`.

    `token`, `run_id` and `seq` (0, 1, … within the run) name the call, so that the bridge can
    answer a repeated call from its journal instead of paying twice. With `stream` the exchange
    sends `LlmDelta` chunks before its `END`; without, it is a plain reply. `settings` holds
    temperature, max_tokens, tool_choice, reasoning_effort, parallel_tool_calls, response_format.
    A `traced` call's result says what its provider was really sent.
    """

    model: str
    messages: list[LlmMessage]
    tools: list[LlmTool] = []
    settings: dict[str, Any] = {}
    stream: bool = False
    token: int = 0
    run_id: str = ""
    seq: int = 0
    variant: str = ""
    traced: bool = False


class ProviderTrace(Struct, frozen=True):
    """What a provider was sent and what it answered, as JSON texts, without keys."""

    request: str
    response: str


class ToolCallDelta(Struct, frozen=True, omit_defaults=True):
    """A piece of a tool call; pieces with one `index` belong together."""

    index: int
    tool_call_id: str | None = None
    name: str | None = None
    arguments: str = ""


class LlmDelta(Struct, frozen=True, omit_defaults=True):
    """A piece of a reply while it is being made."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = []


class LlmResult(Struct, frozen=True, omit_defaults=True):
    """A whole reply. `finish_reason`: stop, tool_calls, length or content_filter.

    `cost_usd` is 0.0 for models without a known price.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = []
    finish_reason: str = "stop"
    usage: Usage = Usage()
    model: str = ""
    cost_usd: float = 0.0
    trace: ProviderTrace | None = None


class GatewayWelcome(Struct, frozen=True):
    """The gateway's answer to `hello`.

    `version` is what both speak, `pid` its process (for logs), `longest_silence_s` how long an
    exchange may stay without a frame; a gateway that is silent for longer is stuck.
    """

    version: int
    pid: int
    longest_silence_s: float


class FoundModel(Struct, frozen=True, omit_defaults=True):
    """A model that an endpoint says it has. `context_window` in tokens, 0 when it does not say."""

    handle: str
    context_window: int = 0


class ModelList(Struct, frozen=True, omit_defaults=True):
    """Answer of `models.list`; `problems` holds one sentence per endpoint that did not answer."""

    models: list[FoundModel] = []
    problems: list[str] = []


class CountRequest(Struct, frozen=True):
    """Body of `llm.count`."""

    model: str
    texts: list[str]


class CountResult(Struct, frozen=True):
    """Tokens of each text, in order."""

    tokens: list[int]


class EmbedRequest(Struct, frozen=True):
    """Body of `llm.embed`: at most `MAX_EMBEDDED` texts."""

    model: str
    texts: list[str]


class EmbedResult(Struct, frozen=True, omit_defaults=True):
    """The vectors of the texts, in order, all of one dimension."""

    vectors: list[list[float]]
    prompt_tokens: int = 0
