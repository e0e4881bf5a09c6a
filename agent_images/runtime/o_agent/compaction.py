"""Keeping a conversation within its model's context window, by summarizing its beginning.

The window is looked at before every model call; as long as its bytes alone say that it fits, that
is all. Else its tokens are known from what the provider reported last, or are counted by the
bridge. Above `DUE` of the window, or when the provider refuses it as too long, the oldest messages
are summarized by a model call like any other (journaled, within the budget); the summary is stored
as a message, and from then on the window begins with it. Nothing is ever left out unsaid: when the
summary cannot be had, the turn goes on if the window still fits, and fails if it does not.

Modes: `sliding_window` keeps the newest part, `all` keeps nothing before the present turn; both
give a transcript to the summarizing model. With `self_compact_` in front the agent's own model
reads its own window and is asked for the summary at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from o_agent.llm_messages import Unit, decode_messages, encode_unit, input_message
from o_contracts import bridge
from o_contracts.llm import SUMMARY_SEQ, LlmMessage, LlmRequest, LlmResult
from o_contracts.messages import Message

DUE: Final = 0.9
"""Share of the context window above which it is compacted."""
MAX_SHOWN: Final = 450
"""Messages of a window above which it is compacted, too: the bridge gives 500 at most."""
FEWEST_BYTES_PER_TOKEN: Final = 2
BYTES_PER_TOKEN: Final = 4
OVERFLOW: Final = "llm_context_overflow"
"""The bridge's code for a window that the model refuses as too long."""
_CLIPS: Final = (8_000, 1_000, 200)
"""Characters of a message in a transcript at most; the first that lets it fit is taken."""
_PROMPT: Final = """\
Summarize this conversation for the assistant that will go on with it and cannot see it any more.
Keep what it will need: who the user is and what they want, decisions and their reasons, names,
numbers and wording that matter, what tools have found or changed, what is promised or still open.
Write plain text in the past tense, in the language of the conversation, without any preamble."""
_ACKNOWLEDGEMENT: Final = "\n\nAnswer with the summary and nothing else."
_result_decoder = msgspec.msgpack.Decoder(LlmResult)

Mode = Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"]


class CompactionSettings(Struct, frozen=True):
    """The API's `compaction_settings`, with their defaults."""

    mode: Mode = "sliding_window"
    model: str | None = None
    model_settings: dict[str, Any] | None = None
    prompt: str | None = None
    prompt_acknowledgement: bool = False
    clip_chars: int | None = 50_000
    sliding_window_percentage: float = 0.3

    @property
    def keeps_newest(self) -> bool:
        """Whether the newest part stays as it is."""
        return self.mode.endswith("sliding_window")

    @property
    def is_self(self) -> bool:
        """Whether the agent's own model summarizes its own window."""
        return self.mode.startswith("self_compact")


class NothingToCompactError(Exception):
    """There are no messages that a summary could stand for."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """A summary, and the units that stay after it."""

    summary: Message
    kept: list[Unit]

    @property
    def units(self) -> list[Unit]:
        """The window's units from now on."""
        return [encode_unit(input_message(self.summary), 1, self.summary.id), *self.kept]

    @property
    def first_kept(self) -> str:
        """Id of the first message that stays; empty if none does."""
        return self.kept[0].first_id if self.kept else ""


def settings_of(given: dict[str, Any]) -> CompactionSettings:
    """An agent's settings; what is malformed in them counts as not given."""
    known = {name: value for name, value in given.items() if value is not None}
    try:
        return msgspec.convert(known, CompactionSettings)
    except msgspec.ValidationError:
        return CompactionSettings()


def summarized_count(
    units: Sequence[Unit], settings: CompactionSettings, *, keep_calls: bool = False
) -> int:
    """How many units, from the oldest on, a summary is to stand for.

    `keep_calls`: what follows answers the calls of the last unit that has any, so that one stays.
    """
    start = len(units)
    if settings.keeps_newest:
        start = _start_of_newest(units, settings.sliding_window_percentage)
    if keep_calls:
        asking = [n for n, unit in enumerate(units) if not unit.is_return]
        start = min(start, asking[-1] if asking else 0)
    return start


def _start_of_newest(units: Sequence[Unit], share: float) -> int:
    left = share * sum(unit.size_bytes for unit in units)
    start = len(units)
    while start > 1 and units[start - 1].size_bytes <= left:
        start -= 1
        left -= units[start].size_bytes
    while start < len(units) and (units[start].is_return or not units[start].first_id):
        start += 1
    return start


def summary_request(
    units: Sequence[Unit], settings: CompactionSettings, system: Any, model: str, window: int
) -> LlmRequest:
    """The call that makes a summary of these units; `system` is the agent's own system message."""
    prompt = settings.prompt or _PROMPT
    if settings.prompt_acknowledgement:
        prompt += _ACKNOWLEDGEMENT
    chosen = _model_settings(settings)
    if settings.is_self:
        asked: Any = encode_unit(LlmMessage("user", prompt), 0).raw
        messages: Any = [system, *(unit.raw for unit in units), asked]
        return LlmRequest(model, messages, [], chosen)
    text = transcript(units, int(window * BYTES_PER_TOKEN * DUE / 2) if window else 1 << 20)
    messages = [LlmMessage("system", prompt), LlmMessage("user", text)]
    return LlmRequest(settings.model or model, messages, [], chosen)


def transcript(units: Sequence[Unit], most_chars: int) -> str:
    """The messages as text, each clipped as much as it takes, which is said."""
    messages = decode_messages([unit.raw for unit in units])
    for clip in _CLIPS:
        lines = [_line(message, clip) for message in messages]
        if sum(map(len, lines)) <= most_chars:
            break
    text = "\n".join(lines)
    if len(text) > most_chars:
        half = most_chars // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
    return text


def clipped(text: str, most_chars: int | None) -> str:
    """A summary of at most so many characters, and a word about the rest."""
    if most_chars is None or len(text) <= most_chars:
        return text
    return f"{text[:most_chars]}\n[the summary was cut at {most_chars} characters]"


async def summarize(frame: Any, request: LlmRequest, number: int) -> str:
    """The summary's text; `number` counts the summaries of the turn.

    Raises:
        ConnectionLost, BridgeError: the bridge or the model failed.
    """
    named = msgspec.structs.replace(
        request, token=frame.token, run_id=frame.run_id, seq=SUMMARY_SEQ + number
    )
    result: LlmResult = await frame.bridge.ask(bridge.LLM_COMPLETE, named, _result_decoder)
    return result.text.strip()


def _line(message: LlmMessage, clip: int) -> str:
    content = message.content
    if isinstance(content, list):
        content = " ".join(str(part.get("text", f"[{part.get('type')}]")) for part in content)
    said = content or ""
    for call in message.tool_calls or ():
        said += f"\n[calls {call.name} with {call.arguments}]"
    if len(said) > clip:
        said = f"{said[:clip]} [{len(said) - clip} more characters]"
    return f"{message.role}: {said}"


def _model_settings(settings: CompactionSettings) -> dict[str, Any]:
    given = settings.model_settings or {}
    chosen = {n: given[n] for n in ("temperature", "reasoning_effort") if given.get(n) is not None}
    if given.get("max_output_tokens"):
        chosen["max_tokens"] = given["max_output_tokens"]
    return chosen
