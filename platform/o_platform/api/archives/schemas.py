"""Bodies, parameters and answers of archives."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, cast

from pydantic import BaseModel

from o_platform.agents.archive_repository import ArchiveFilter
from o_platform.agents.archive_service import ArchiveChanges, NewArchive
from o_platform.agents.defaults import DEFAULT_EMBEDDING
from o_platform.api.agents.schemas import Handle
from o_platform.api.embedding_configs import EmbeddingConfigState, embedding_config
from o_platform.api.fields import AgentId, ArchiveId, Input, Json, Name, PageQuery, Str
from o_platform.db.models import Archive


class ArchiveCreate(Input):
    """An archive to create; `embedding_config` is the deprecated way to say which model."""

    name: Name
    description: Str | None = None
    embedding: Handle | None = None
    embedding_config: Json | None = None
    metadata: Json | None = None

    def new_archive(self) -> NewArchive:
        """What the service is to create."""
        handle = (self.embedding_config or {}).get("handle")
        deprecated = handle if isinstance(handle, str) else None
        return NewArchive(
            name=self.name,
            description=self.description,
            embedding=self.embedding or deprecated or DEFAULT_EMBEDDING,
            metadata=self.metadata or {},
        )


class ArchiveUpdate(Input):
    """What to change of an archive; absent fields and nulls (but for `description`) stay.

    With another `embedding` its passages are embedded anew in the background.
    """

    name: Name | None = None
    description: Str | None = None
    embedding: Handle | None = None

    def changes(self) -> ArchiveChanges:
        """What the service is to change."""
        sent = self.model_dump(exclude_unset=True)
        kept = {name: sent[name] for name in sent if sent[name] is not None or name[0] == "d"}
        return cast(ArchiveChanges, kept)


class ArchiveListQuery(PageQuery):
    """Which archives to list."""

    before: ArchiveId | None = None
    after: ArchiveId | None = None
    order_by: Literal["created_at"] = "created_at"
    agent_id: AgentId | None = None
    name: str | None = None

    def filter(self) -> ArchiveFilter:
        """Which archives to fetch."""
        return ArchiveFilter(self.name, self.agent_id)


class ArchiveState(BaseModel):
    """An archive as the API shows it.

    While it moves to another embedding model, `next_embedding` names that.
    """

    id: str
    name: str
    description: str | None
    embedding: str
    next_embedding: str | None
    embedding_config: EmbeddingConfigState
    vector_db_provider: str = "native"
    metadata: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


def archive_state(archive: Archive) -> ArchiveState:
    """The stored archive as the API shows it."""
    return ArchiveState(
        id=archive.id, name=archive.name, description=archive.description,
        embedding=archive.embedding, next_embedding=archive.next_embedding,
        embedding_config=embedding_config(archive.embedding, archive.dimensions),
        metadata=archive.meta, created_at=archive.created_at, updated_at=archive.updated_at,
    )  # fmt: skip
