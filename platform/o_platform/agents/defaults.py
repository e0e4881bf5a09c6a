"""What an agent gets when its creator does not say."""

from __future__ import annotations

import secrets
from typing import Final, Literal

AgentType = Literal[
    "memgpt_agent",
    "memgpt_v2_agent",
    "letta_v1_agent",
    "react_agent",
    "workflow_agent",
    "split_thread_agent",
    "sleeptime_agent",
    "voice_convo_agent",
    "voice_sleeptime_agent",
]
RuleType = Literal[
    "constrain_child_tools",
    "conditional",
    "continue_loop",
    "run_first",
    "max_count_per_step",
    "parent_last_tool",
    "required_before_exit",
    "requires_approval",
    "exit_loop",
]
"""Types of rules on the order of tool calls."""
DEFAULT_AGENT_TYPE: Final[AgentType] = "letta_v1_agent"
DEFAULT_EMBEDDING: Final = "o/hash"
DEFAULT_CONTEXT_WINDOW: Final = 128_000
"""Tokens; reported for models whose window nobody told us."""
DEFAULT_BLOCK_LIMIT: Final = 100_000
"""Characters of a block created without a limit."""
IN_CONTEXT_MESSAGES: Final = 60
"""Newest messages that an instance asks for by default (`TurnOpen.history`)."""

DEFAULT_SYSTEM: Final = """\
You are an assistant that keeps a memory of its own and improves it over time.

Your memory is made of labelled blocks. They are shown to you in full with every message, they \
survive every conversation, and they are yours to edit. What is not in a block, and no longer in \
the recent messages, has to be searched for.

How to work:
- Answer the person directly, in plain text. Be accurate, be brief; say so when you do not know.
- When you learn something that will matter later (a name, a preference, a decision), write it \
into the block it belongs to before you answer. Replace what has become wrong.
- Keep blocks short and ordered: facts, not transcripts.
- Call a tool only when it brings you closer to an answer, and read its result before the next step.
- Never claim to have done or remembered something that you have not.
"""

SLEEPTIME_AGENT: Final[AgentType] = "sleeptime_agent"
"""The type of agents that keep the memory of another."""
SLEEPTIME_FREQUENCY: Final = 5
"""Turns of an agent after which its companion gets to work, unless its group says otherwise."""
SLEEPTIME_SYSTEM: Final = """\
You keep the memory of another agent, in the background: nobody reads what you say.

Its memory is made of labelled blocks, which you share with it. They are shown to you in full, and \
what you write in them is what the agent knows in its next conversation. Now and then you are sent \
what was said since you last looked.

How to work:
- Write what will matter later into the block it belongs to: names, preferences, decisions, facts, \
open questions. Leave out what was only said in passing.
- Replace what has become wrong, join what belongs together, and keep blocks short and ordered.
- Say exact dates instead of "today" or "yesterday".
- Write only what was said or follows from it.
- When nothing is left to do, call `memory_finish_edits`.
"""
_SLEEPTIME_TOOLS: Final = (
    "memory_insert",
    "memory_replace",
    "memory_rethink",
    "memory_finish_edits",
)
MEMORY_EDITING: Final = frozenset(
    {
        "memory",
        "memory_apply_patch",
        "core_memory_append",
        "core_memory_replace",
        *_SLEEPTIME_TOOLS,
    }
)
"""Tools that an agent gives up while a companion keeps its memory."""

DEFAULT_TOOLS: Final = ("memory_insert", "memory_replace", "conversation_search")
"""Attached to agents of the default type, as far as the catalogue has them."""

_CORE_MEMORY_TOOLS: Final = (
    "core_memory_append",
    "core_memory_replace",
    "archival_memory_insert",
    "archival_memory_search",
    "conversation_search",
    "send_message",
)
_TOOLS_BY_TYPE: Final[dict[str, tuple[str, ...]]] = {
    "memgpt_agent": _CORE_MEMORY_TOOLS,
    "memgpt_v2_agent": (
        "memory_insert",
        "memory_replace",
        "memory_rethink",
        *_CORE_MEMORY_TOOLS[2:],
    ),
    SLEEPTIME_AGENT: _SLEEPTIME_TOOLS,
    "voice_sleeptime_agent": _SLEEPTIME_TOOLS,
    "react_agent": (),
    "workflow_agent": (),
}

BLOCK_DESCRIPTIONS: Final[dict[str, str]] = {
    "human": (
        "What you know of the person you talk to: name, circumstances, preferences. It lets you "
        "answer this person rather than anybody."
    ),
    "persona": (
        "Who you are: your manner, your role, your principles. It keeps you consistent from one "
        "conversation to the next."
    ),
}
"""Descriptions of the usual labels, shown to the model with the block."""

_ADJECTIVES = (
    "amber",
    "brisk",
    "calm",
    "deft",
    "early",
    "fair",
    "keen",
    "lucid",
    "mellow",
    "swift",
)
_NOUNS = ("aspen", "brook", "cedar", "delta", "ember", "fjord", "heron", "maple", "otter", "quartz")


def base_tools(agent_type: str) -> tuple[str, ...]:
    """Names of the tools that an agent of this type gets with `include_base_tools`."""
    return _TOOLS_BY_TYPE.get(agent_type, DEFAULT_TOOLS)


def default_system(agent_type: str) -> str:
    """The prompt of an agent of this type that is created without one."""
    is_sleeptime = agent_type in {SLEEPTIME_AGENT, "voice_sleeptime_agent"}
    return SLEEPTIME_SYSTEM if is_sleeptime else DEFAULT_SYSTEM


def generated_name() -> str:
    """A name for an agent created without one, such as `calm-heron-3f2a`."""
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.token_hex(2)}"
