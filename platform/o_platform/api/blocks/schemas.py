"""Bodies, parameters and answers of blocks."""

from __future__ import annotations

from typing import Any, Final, Literal, cast

from pydantic import BaseModel, Field

from o_platform.agents.block_repository import BlockFilter
from o_platform.agents.defaults import BLOCK_DESCRIPTIONS, DEFAULT_BLOCK_LIMIT
from o_platform.agents.inputs import BlockChanges, NewBlock
from o_platform.api.answers import defaults_of
from o_platform.api.fields import (
    MAX_INT32,
    AgentId,
    BlockId,
    Input,
    Json,
    Name,
    PageQuery,
    Str,
)
from o_platform.db.models import Block


class BlockCreate(Input):
    """A block to create. The limit is what memory tools respect; the API may exceed it."""

    label: Name
    value: Str
    limit: int = Field(DEFAULT_BLOCK_LIMIT, ge=1, le=MAX_INT32, description="characters")
    description: Str | None = None
    read_only: bool = False
    metadata: Json | None = None
    tags: list[Str] | None = None

    def new_block(self) -> NewBlock:
        """What the service is to create."""
        description = self.description
        if description is None:
            description = BLOCK_DESCRIPTIONS.get(self.label)
        return NewBlock(
            label=self.label, value=self.value, limit=self.limit, description=description,
            read_only=self.read_only, metadata=self.metadata or {}, tags=self.tags or [],
        )  # fmt: skip


class BlockUpdate(Input):
    """What to change of a block; absent fields and nulls (but for `description`) stay."""

    label: Name | None = None
    value: Str | None = None
    limit: int | None = Field(None, ge=1, le=MAX_INT32)
    description: Str | None = None
    read_only: bool | None = None
    metadata: Json | None = None
    tags: list[Str] | None = None

    def changes(self) -> BlockChanges:
        """What the service is to change."""
        columns = {"limit": "char_limit", "metadata": "meta"}
        sent = self.model_dump(exclude_unset=True)
        kept = {
            columns.get(name, name): value
            for name, value in sent.items()
            if value is not None or name == "description"
        }
        return cast(BlockChanges, kept)


class BlockListQuery(PageQuery):
    """Which blocks to list."""

    before: BlockId | None = None
    after: BlockId | None = None
    order_by: Literal["created_at"] = "created_at"
    label: str | None = None
    label_search: str | None = None
    value_search: str | None = None
    description_search: str | None = None
    tags: list[str] | None = None
    match_all_tags: bool = False
    connected_to_agents_count_gt: int | None = Field(None, ge=0, le=MAX_INT32)
    connected_to_agents_count_lt: int | None = Field(None, ge=0, le=MAX_INT32)
    connected_to_agents_count_eq: list[int] | None = None
    templates_only: bool = False
    identity_id: str | None = None
    identifier_keys: list[str] | None = None
    project_id: str | None = None
    name: str | None = None

    def filter(self) -> BlockFilter:
        """Which blocks to fetch."""
        return BlockFilter(
            label=self.label, label_search=self.label_search, value_search=self.value_search,
            description_search=self.description_search, tags=self.tags or (),
            match_all_tags=self.match_all_tags,
            holders_more_than=self.connected_to_agents_count_gt,
            holders_less_than=self.connected_to_agents_count_lt,
            holders_exactly=self.connected_to_agents_count_eq or (),
        )  # fmt: skip

    def matches_nothing(self) -> bool:
        """Whether it asks for what no block here has: a template, an identity, a project."""
        asked = (self.identity_id, self.identifier_keys, self.project_id, self.name)
        return self.templates_only or any(value is not None for value in asked)


class HeldBlocksQuery(PageQuery):
    """Which of an agent's blocks to list."""

    before: BlockId | None = None
    after: BlockId | None = None
    order_by: Literal["created_at"] = "created_at"


class HoldersQuery(PageQuery):
    """Which of the agents that hold a block to list."""

    before: AgentId | None = None
    after: AgentId | None = None
    order_by: Literal["created_at"] = "created_at"


class BlockState(BaseModel):
    """A block as the API shows it."""

    id: str
    label: str
    value: str
    limit: int = Field(description="characters")
    description: str | None
    read_only: bool
    metadata: dict[str, Any]
    tags: list[str]
    is_template: bool = False
    template_name: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    project_id: str | None = None
    preserve_on_migration: bool = False
    hidden: bool | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


def block_document(block: Block) -> dict[str, Any]:
    """The stored block as the API shows it (`BlockState`)."""
    return {
        **_ALWAYS,
        "id": block.id, "label": block.label, "value": block.value, "limit": block.char_limit,
        "description": block.description, "read_only": block.read_only, "metadata": block.meta,
        "tags": block.tags,
    }  # fmt: skip


_ALWAYS: Final = defaults_of(BlockState)
"""What every block shows alike."""
