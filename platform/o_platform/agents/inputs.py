"""What callers hand to the services: new agents and blocks, and changes to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from o_contracts.messages import Message
from o_platform.agents.defaults import (
    DEFAULT_AGENT_TYPE,
    DEFAULT_BLOCK_LIMIT,
    DEFAULT_EMBEDDING,
    DEFAULT_SYSTEM,
)


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block to create; `limit` in characters."""

    label: str
    value: str
    limit: int = DEFAULT_BLOCK_LIMIT
    description: str | None = None
    read_only: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes a block, and why; kept in its history."""

    who: str
    why: str = ""


class BlockChanges(TypedDict, total=False):
    """What to change of a block; absent keys stay as they are."""

    label: str
    value: str
    char_limit: int
    description: str | None
    read_only: bool
    meta: dict[str, Any]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class NewAgent:
    """An agent to create. `tools` and `tool_ids` come on top of the base tools if included."""

    model: str
    lineage: str = "default"
    name: str | None = None
    agent_type: str = DEFAULT_AGENT_TYPE
    system: str = DEFAULT_SYSTEM
    model_settings: dict[str, Any] = field(default_factory=dict)
    embedding: str = DEFAULT_EMBEDDING
    description: str | None = None
    timezone: str = "UTC"
    include_base_tools: bool = True
    tools: list[str] = field(default_factory=list)
    tool_ids: list[str] = field(default_factory=list)
    tool_rules: list[dict[str, Any]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    blocks: list[NewBlock] = field(default_factory=list)
    block_ids: list[str] = field(default_factory=list)
    identity_ids: list[str] = field(default_factory=list)
    folder_ids: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)


class AgentChanges(TypedDict, total=False):
    """What to change of an agent; absent keys stay as they are.

    `config` is merged key by key; of `secrets`, blocks and folders these are all that the agent has
    afterwards.
    """

    name: str
    system: str
    model: str
    model_settings: dict[str, Any]
    embedding: str
    description: str | None
    timezone: str
    tool_rules: list[dict[str, Any]]
    tags: list[str]
    meta: dict[str, Any] | None
    config: dict[str, Any]
    last_run_at: datetime
    last_run_ms: float
    last_stop_reason: str
    tool_ids: list[str]
    secrets: dict[str, str]
    block_ids: list[str]
    identity_ids: list[str]
    folder_ids: list[str]
