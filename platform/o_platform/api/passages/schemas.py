"""Bodies, parameters and answers of passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, model_validator

from o_platform.agents.archive_service import Kept
from o_platform.api.embedding_configs import EmbeddingConfigState, embedding_config
from o_platform.api.fields import (
    AgentId,
    ArchiveId,
    Date,
    EndDate,
    Input,
    Json,
    Name,
    PassageId,
    Str,
)
from o_platform.db.models import Archive
from o_platform.memory.passages import NewPassage, PassagePage
from o_platform.memory.search import Hit, PassageQuery, TagMatch

MAX_BATCH = 1_000
MAX_RESULTS = 1_000
MAX_TAGS = 32
Tags = Annotated[list[Name], Field(max_length=MAX_TAGS)]


class PassageCreate(Input):
    """A text to keep in an agent's archival memory."""

    text: Str
    tags: Tags | None = None
    created_at: Date | None = None

    def new_passage(self) -> NewPassage:
        """What the service is to keep."""
        return NewPassage(self.text, self.tags or (), created_at=zoned(self.created_at))


class ArchivePassageCreate(PassageCreate):
    """A text to keep in an archive."""

    metadata: Json | None = None

    def new_passage(self) -> NewPassage:
        """What the service is to keep."""
        return NewPassage(self.text, self.tags or (), self.metadata or {}, zoned(self.created_at))


class PassageBatch(Input):
    """Texts to keep in an archive, all or none."""

    passages: list[ArchivePassageCreate] = Field(max_length=MAX_BATCH)


class PassageListQuery(BaseModel):
    """Which passages of an agent to list."""

    limit: int | None = Field(None, ge=1, le=MAX_RESULTS, description="rows at most; default 100")
    after: PassageId | None = None
    before: PassageId | None = None
    search: str | None = None
    ascending: bool = True

    def page(self) -> PassagePage:
        """The part of the listing that is asked for."""
        limit = self.limit or 100
        return PassagePage(limit, self.after, self.before, self.search, self.ascending)


class ArchivalSearchQuery(BaseModel):
    """What to find in an agent's archival memory."""

    query: Str
    tags: list[str] | None = None
    tag_match_mode: TagMatch = "any"
    top_k: int | None = Field(None, ge=1, le=MAX_RESULTS, description="how many; default 10")
    start_datetime: datetime | None = None
    end_datetime: EndDate | None = None

    def wanted(self) -> PassageQuery:
        """What the service is to find."""
        return PassageQuery(
            self.query, self.tags or (), self.top_k or 10, self.tag_match_mode,
            zoned(self.start_datetime), zoned(self.end_datetime),
        )  # fmt: skip


class PassageSearch(Input):
    """What to find in all archives, in one, or in an agent's."""

    query: Str | None = None
    agent_id: AgentId | None = None
    archive_id: ArchiveId | None = None
    tags: list[Str] | None = None
    tag_match_mode: TagMatch = "any"
    limit: int = Field(50, ge=1, le=MAX_RESULTS)
    start_date: Date | None = None
    end_date: EndDate | None = None

    @model_validator(mode="after")
    def _names_one_place(self) -> PassageSearch:
        if self.agent_id is not None and self.archive_id is not None:
            raise ValueError("give agent_id or archive_id, not both")
        return self

    def wanted(self) -> PassageQuery:
        """What the service is to find."""
        return PassageQuery(
            self.query or "", self.tags or (), self.limit, self.tag_match_mode,
            zoned(self.start_date), zoned(self.end_date),
        )  # fmt: skip


class PassageState(BaseModel):
    """A passage as the API shows it; its vector only in answer to its creation, never in lists."""

    id: str
    text: str
    archive_id: str
    tags: list[str] | None
    metadata: dict[str, Any]
    embedding: list[float] | None
    embedding_config: EmbeddingConfigState
    created_at: datetime
    updated_at: datetime
    is_deleted: Literal[False] = False
    source_id: str | None = None
    file_id: str | None = None
    file_name: str | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


class FoundText(BaseModel):
    """A text found in an agent's archival memory; `timestamp` in the agent's time zone."""

    id: str
    timestamp: str
    content: str
    tags: list[str]


class FoundTexts(BaseModel):
    """What was found in an agent's archival memory."""

    results: list[FoundText]
    count: int


class FoundPassage(BaseModel):
    """A passage that was found; `score` is 1 for first place in every ranking."""

    passage: PassageState
    score: float
    metadata: dict[str, Any] = {}


def passage_state(kept: Kept) -> PassageState:
    """The stored passage as the API shows it."""
    passage, archive = kept.passage, kept.archive
    return PassageState(
        id=passage.id, text=passage.text, archive_id=passage.archive_id,
        tags=passage.tags or None, metadata=passage.meta, embedding=kept.vector,
        embedding_config=embedding_config(archive.embedding, archive.dimensions),
        created_at=passage.created_at, updated_at=passage.created_at,
    )  # fmt: skip


def found_texts(hits: Sequence[Hit], timezone: str) -> FoundTexts:
    """What was found, for an agent in this time zone."""
    zone = ZoneInfo(timezone)
    results = [
        FoundText(
            id=hit.passage.id, content=hit.passage.text, tags=hit.passage.tags,
            timestamp=hit.passage.created_at.astimezone(zone).isoformat(),
        )
        for hit in hits
    ]  # fmt: skip
    return FoundTexts(results=results, count=len(results))


def found_passages(hits: Sequence[Hit], archives: Mapping[str, Archive]) -> list[FoundPassage]:
    """What was found, with scores."""
    return [
        FoundPassage(
            passage=passage_state(Kept(hit.passage, archives[hit.passage.archive_id])),
            score=hit.score,
        )
        for hit in hits
    ]


def zoned(date: datetime | None) -> datetime | None:
    """The date, in UTC if it names no time zone."""
    return date.replace(tzinfo=UTC) if date is not None and date.tzinfo is None else date
