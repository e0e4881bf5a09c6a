"""Folders as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel

from o_platform.api.embedding_configs import EmbeddingConfigState, embedding_config
from o_platform.db.models import Archive, Folder

CHARS_OF_A_TOKEN: Final = 4
"""Roughly, in English: chunks are cut by characters."""


class FolderState(BaseModel):
    """A folder as the API shows it."""

    id: str
    name: str
    description: str | None
    instructions: str | None
    metadata: dict[str, Any] | None
    embedding_config: EmbeddingConfigState
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


def folder_state(folder: Folder, archive: Archive) -> FolderState:
    """The stored folder as the API shows it; `archive` is what it is searched in."""
    shown = embedding_config(archive.embedding, archive.dimensions)
    tokens = folder.chunk_size // CHARS_OF_A_TOKEN
    return FolderState(
        id=folder.id, name=folder.name, description=folder.description,
        instructions=folder.instructions, metadata=folder.meta,
        embedding_config=shown.model_copy(update={"embedding_chunk_size": tokens}),
        created_at=folder.created_at, updated_at=folder.updated_at,
    )  # fmt: skip
