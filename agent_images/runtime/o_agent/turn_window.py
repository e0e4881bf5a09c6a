"""The conversation as the model reads it, while one turn adds to it and keeps it within bounds.

How a conversation is kept within its model's context window is told in `o_agent.compaction`; here
is when, and what becomes of the turn's messages and the encoded window.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

import msgspec

from o_agent.bridge_client import BridgeError
from o_agent.compaction import (
    BYTES_PER_TOKEN,
    DUE,
    FEWEST_BYTES_PER_TOKEN,
    MAX_SHOWN,
    OVERFLOW,
    Compacted,
    CompactionSettings,
    Mode,
    NothingToCompactError,
    clipped,
    settings_of,
    summarize,
    summarized_count,
    summary_request,
)
from o_agent.context import system_unit
from o_agent.llm_messages import Unit, decode_messages, encoded_list
from o_agent.message_ids import otid_of
from o_agent.turn_frame import TurnFrame
from o_contracts import bridge
from o_contracts.ids import now_us
from o_contracts.messages import Block, Message

_count_decoder = msgspec.msgpack.Decoder(bridge.TokensCounted)
_log = logging.getLogger("o_agent.turn_window")
_NOT_OURS: Final = frozenset({bridge.CANCELLED, "fenced"})
"""Errors that concern the turn and not its summary."""


class TurnWindow:
    """What one turn has made so far, behind the window that it found."""

    __slots__ = (
        "_compactions",
        "_frame",
        "_known_units",
        "blocks",
        "compaction",
        "context",
        "made",
        "messages",
        "tokens",
    )

    def __init__(self, frame: TurnFrame, inputs: list[Message], input_units: list[Unit]) -> None:
        """`inputs` are the client's messages, `input_units` the same as the model reads them."""
        self._frame = frame
        self._compactions = 0
        self._known_units = 0
        """How many of `made` are in what the provider reported last."""
        self.context = frame.context
        self.messages = list(inputs)
        self.made = list(input_units)
        self.blocks: list[Block] | None = None
        """The agent's blocks, if the turn has changed any."""
        self.compaction: bridge.Compaction | None = None
        """Where the window begins from now on, if that has changed."""
        self.tokens = 0
        """What the provider reported last in this turn; 0 if it has not, or no longer holds."""

    @property
    def shown(self) -> int:
        """How many stored messages the window shows."""
        return self.context.window.shown

    def request_messages(self) -> msgspec.Raw:
        """Everything the model reads: a list of messages, encoded."""
        context, made = self.context, self.made
        window = context.window
        system = system_unit(context.prompt, context.agent, window.earlier_messages)
        pieces = [bytes(system.raw), window.encoded, *[bytes(unit.raw) for unit in made]]
        return encoded_list(1 + len(window) + len(made), pieces)

    def note_reply(self) -> None:
        """What the provider is about to have reported ends with the reply just recorded."""
        self._known_units = len(self.made)

    def take_blocks(self, changed: list[Block], removed: set[str]) -> None:
        """From the next step on, the model sees the edited memory."""
        by_id = {block.id: block for block in changed}
        agent = self.context.agent
        blocks = [by_id.pop(block.id, block) for block in agent.blocks] + [*by_id.values()]
        self.blocks = [block for block in blocks if block.id not in removed]
        agent = msgspec.structs.replace(agent, blocks=self.blocks)
        prompt = self._frame.compiler.render_prompt(agent, self._frame.system)
        self.context = replace(self.context, agent=agent, prompt=prompt)

    def may_be_full(self) -> bool:
        """Whether the window could be full, as far as its bytes say."""
        context = self.context
        limit, window = context.agent.context_window, context.window
        if window.size_bytes < limit and window.shown < MAX_SHOWN:
            return False
        return limit > 0 and (
            self._bytes() > limit * FEWEST_BYTES_PER_TOKEN * DUE or window.shown >= MAX_SHOWN
        )

    async def make_room(self) -> None:
        """Compact the window if it is full; not so well that the next call would find it so.

        Raises:
            ConnectionLost, BridgeError: the bridge failed; or the model, and the window is too
                long to go on.
        """
        for settings in (self.settings(), self.settings("all")):
            tokens = await self._count_tokens()
            limit = self.context.agent.context_window
            if tokens <= DUE * limit and self.shown < MAX_SHOWN:
                return
            try:
                await self.compact(settings)
            except NothingToCompactError:
                return
            except BridgeError as error:
                if error.body.code in _NOT_OURS or tokens > limit:
                    raise
                _log.warning("the conversation was not summarized: %s", error)
                return

    def can_make_room(self, error: BridgeError) -> bool:
        """Whether the error is that the window is too long, and something in it can go."""
        return error.body.code == OVERFLOW and len(self.context.window) > 0

    def settings(self, mode: Mode | None = None) -> CompactionSettings:
        """The agent's settings; in another mode, if they leave a choice."""
        settings = settings_of(self.context.agent.compaction)
        if mode is None or not settings.keeps_newest:
            return settings
        return msgspec.structs.replace(settings, mode=mode)

    async def compact(self, settings: CompactionSettings) -> Message:
        """Let a summary stand for the beginning of the window; returns it.

        Raises:
            NothingToCompactError: there is nothing that it could stand for.
            ConnectionLost, BridgeError: the bridge or the model failed.
        """
        frame, context = self._frame, self.context
        window = context.window
        answers_calls = bool(self.made) and self.made[0].is_return
        units = window.units
        cut = summarized_count(units, settings, keep_calls=answers_calls)
        if cut == 0 or (cut == 1 and window.begins_with_summary):
            raise NothingToCompactError("the conversation is too short to be compacted")
        system = system_unit(context.prompt, context.agent, window.earlier_messages).raw
        request = summary_request(
            units[:cut], settings, system, frame.model, context.agent.context_window
        )
        text = await summarize(frame, request, self._compactions)
        summary = await self._summary(clipped(text, settings.clip_chars))
        self._compactions += 1
        done = Compacted(summary, units[cut:])
        inputs = [m for m in self.messages if m is not summary]
        first_kept = done.first_kept or (inputs[0].id if inputs else "")
        self.compaction = bridge.Compaction(summary.id, first_kept)
        self.context = replace(context, window=window.compacted(done.units), tokens=0)
        self.tokens = 0
        return summary

    def _bytes(self) -> int:
        context = self.context
        made = sum(unit.size_bytes for unit in self.made)
        return context.window.size_bytes + made + len(context.prompt.before)

    async def _count_tokens(self) -> int:
        """Tokens of the window: as the provider reported them, and what has come since."""
        context = self.context
        known = self.tokens or context.tokens
        if known:
            since = self.made[self._known_units :] if self.tokens else self.made
            return known + sum(unit.size_bytes for unit in since) // BYTES_PER_TOKEN
        units = [*context.window.units, *self.made]
        texts = [str(message.content) for message in decode_messages([u.raw for u in units])]
        texts.append(context.prompt.before)
        asked = bridge.TokensCount(self._frame.model, texts)
        answer = await self._frame.bridge.ask(bridge.TOKENS_COUNT, asked, _count_decoder)
        return sum(answer.tokens) + len(bytes(context.toolbox.encoded)) // BYTES_PER_TOKEN

    async def _summary(self, text: str) -> Message:
        if not text:
            raise NothingToCompactError("the model gave an empty summary")
        frame = self._frame
        message_id = frame.ids.get("message", "summary", self._compactions)
        summary = Message(
            message_id, "summary_message", now_us(), text, otid=otid_of(message_id),
            run_id=frame.run_id,
        )  # fmt: skip
        self.messages.append(summary)
        if frame.sink is not None and frame.tells_compaction:
            await frame.sink.message(summary)
        return summary
