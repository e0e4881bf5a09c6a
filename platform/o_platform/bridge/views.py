"""An agent as of one version, with its newest messages in a log that versions share.

Every turn makes a new version of its agent. Copying the history each time would touch every message
of it, so views of following versions append to one log and remember where it ended for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from o_contracts.messages import AgentContext, Block, Message
from o_platform.agents.turns import LONGEST_HISTORY
from o_platform.llm.builtin import is_builtin

KEPT_MESSAGES: Final = 60
"""Newest messages that are kept at least of an agent with a built-in model."""
_LONGEST_LOG: Final = 180


def shown_messages(model: str, wanted: int) -> int:
    """How many of the newest messages an instance gets that asks for `wanted`.

    To models that cost nothing and summarize nothing, as many as it asks for; to others all that
    fit, since what is left out is summarized (see `o_agent.compaction`).
    """
    return wanted if is_builtin(model) else LONGEST_HISTORY


def remembered(messages: Sequence[Message]) -> list[Message]:
    """What an agent that forgets is shown: if calls wait for an answer, all since a user spoke."""
    if not messages or messages[-1].type != "approval_request_message":
        return []
    spoke = [place for place, one in enumerate(messages) if one.type == "user_message"]
    return list(messages[spoke[-1] if spoke else 0 :])


class AgentView:
    """One version of an agent. Immutable, though later views append to the same log."""

    __slots__ = ("_before", "_end", "_log", "base")

    def __init__(self, base: AgentContext, log: list[Message], end: int, before: int) -> None:
        """The first `end` messages of `log` belong to it; `before` older ones are left out."""
        self.base = base
        """The agent without its messages."""
        self._log = log
        self._end = end
        self._before = before

    @classmethod
    def of(cls, context: AgentContext) -> AgentView:
        """The view that shows this context."""
        base = msgspec.structs.replace(context, messages=[], earlier_messages=0)
        messages = remembered(context.messages) if context.forgets else list(context.messages)
        before = context.earlier_messages + len(context.messages) - len(messages)
        return cls(base, messages, len(messages), before)

    @property
    def version(self) -> int:
        """The agent's version."""
        return self.base.version

    @property
    def thread_id(self) -> str:
        """The conversation's id, or the agent's for its default one."""
        return self.base.conversation_id or self.base.agent_id

    @property
    def length(self) -> int:
        """How many messages it holds."""
        return self._end

    @property
    def last(self) -> Message | None:
        """The newest message."""
        return self._log[self._end - 1] if self._end else None

    def holds(self, count: int) -> bool:
        """Whether it has the newest `count` messages, or all that are to be shown."""
        return self._before == 0 or self._end >= count or self.base.forgets

    def messages(self) -> list[Message]:
        """The messages it holds, oldest first."""
        return self._log[: self._end]

    def shown(self, count: int) -> AgentContext:
        """The agent with at most its newest `count` messages."""
        start = max(self._end - max(count, 0), 0)
        return msgspec.structs.replace(
            self.base,
            messages=self._log[start : self._end],
            earlier_messages=self._before + start,
            notes=None,
        )

    def after(self, version: int, messages: Sequence[Message], blocks: list[Block]) -> AgentView:
        """The next version, after a turn that added `messages` and left the blocks as `blocks`."""
        log, end, before = self._log, self._end, self._before
        base = msgspec.structs.replace(self.base, version=version, blocks=blocks)
        if base.forgets:
            log = [*log[:end], *messages]
            shown = remembered(log)
            return AgentView(base, shown, len(shown), before + len(log) - len(shown))
        if end > _LONGEST_LOG and end > (kept := shown_messages(self.base.model, KEPT_MESSAGES)):
            before += end - kept
            log = log[end - kept : end]
        elif len(log) > end:
            log = log[:end]
        log.extend(messages)
        return AgentView(base, log, len(log), before)
