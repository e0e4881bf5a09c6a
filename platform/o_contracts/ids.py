"""Ids: `<prefix>-<uuid>`, and the routing key that an agent's id carries.

The first eight hex digits of an agent's UUID name its lineage, the next four are its *bucket*;
together they are the routing key that Envoy matches and hashes without a look-up. The rest is
random (UUID version 4). A conversation's id copies the key of its agent, so both hash alike. All
other ids begin with the time (UUID version 7): what is new stands together in an index over
them, so that a turn costs the database the same however many messages there are.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

UUID_PATTERN: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
PREFIXES: Final = frozenset(
    {
        "agent", "message", "run", "step", "job", "block", "tool", "archive", "passage", "conv",
        "group", "identity", "provider", "model", "org", "user", "sandbox", "mcp_server", "file",
        "source", "schedule", "lineage", "attempt", "rollout", "instance", "key", "event",
    }
)  # fmt: skip
DEFAULT_LINEAGE_KEY: Final = 1
"""Routing key of the lineage `default`; requests without a known key fall to it."""
CHANCE_DIGITS: Final = 20
"""Hex digits of a UUID after its time; 74 of their bits are kept."""
BENCH_LINEAGE_KEY: Final = 0xFFFFFFFF
"""Reserved key of the agents that only `bench` instances serve; they never reach the database."""

_ID = re.compile(rf"([a-z_]+)-({UUID_PATTERN})")


def new_id(prefix: str) -> str:
    """A fresh id, whose UUID begins with the time.

    Raises:
        ValueError: `prefix` is not one of `PREFIXES`.
    """
    if prefix not in PREFIXES:
        raise ValueError(f"unknown id prefix {prefix!r}; use one of {', '.join(sorted(PREFIXES))}")
    return f"{prefix}-{timed_uuid(secrets.token_hex(CHANCE_DIGITS // 2))}"


def timed_uuid(chance: str) -> str:
    """A UUID (version 7, RFC 9562) that begins with the Unix time in milliseconds.

    Args:
        chance: the rest of it, `CHANCE_DIGITS` random hex digits that were never used before.
    """
    return _format_uuid(f"{time.time_ns() // 1_000_000:012x}{chance}", version=7)


def new_agent_id(lineage_key: int) -> str:
    """A fresh agent id in the lineage with this key (0 … 2**32 - 1)."""
    return f"agent-{_format_uuid(f'{lineage_key:08x}' + secrets.token_hex(12))}"


def new_conversation_id(agent_id: str) -> str:
    """A fresh id of a conversation of this agent: it begins with the agent's routing key.

    Raises:
        ValueError: `agent_id` is no agent's id.
    """
    key = routing_key(agent_id).replace("-", "")
    return f"conv-{_format_uuid(key + secrets.token_hex(10))}"


def is_valid_id(value: str, prefix: str) -> bool:
    """Whether `value` is `<prefix>-<lower-case UUID>`."""
    match = _ID.fullmatch(value)
    return match is not None and match.group(1) == prefix


def is_conversation(thread_id: str) -> bool:
    """Whether a thread's id is that of a conversation; any other is its agent's."""
    return thread_id.startswith("conv-")


def routing_key(agent_or_conversation_id: str) -> str:
    """The first two groups of the UUID, `xxxxxxxx-xxxx`: lineage and bucket.

    Raises:
        ValueError: not an id of an agent or a conversation.
    """
    match = _ID.fullmatch(agent_or_conversation_id)
    if match is None or match.group(1) not in {"agent", "conv"}:
        raise ValueError(f"{agent_or_conversation_id!r} is not an agent or conversation id")
    return match.group(2)[:13]


def lineage_key(agent_or_conversation_id: str) -> int:
    """The lineage's routing key inside an agent's or conversation's id."""
    return int(routing_key(agent_or_conversation_id)[:8], 16)


def now_us() -> int:
    """Wall clock in microseconds since the Unix epoch (UTC)."""
    return time.time_ns() // 1000


def _format_uuid(hex32: str, version: int = 4) -> str:
    variant = "89ab"[int(hex32[16], 16) & 3]
    rest = f"{variant}{hex32[17:20]}-{hex32[20:32]}"
    return f"{hex32[:8]}-{hex32[8:12]}-{version}{hex32[13:16]}-{rest}"
