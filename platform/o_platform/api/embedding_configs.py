"""Embedding models in the deprecated form, as agents, archives and folders show them."""

from __future__ import annotations

from functools import lru_cache

from pydantic import BaseModel

from o_platform.api.providers import embedding_endpoint_type
from o_platform.llm.embedding import listed_dimensions


class EmbeddingConfigState(BaseModel):
    """The deprecated description of an embedding model; 0 dimensions: not known before its use."""

    handle: str
    embedding_model: str
    embedding_dim: int
    embedding_endpoint_type: str
    embedding_endpoint: str | None = None
    embedding_chunk_size: int = 300
    batch_size: int = 32
    azure_endpoint: str | None = None
    azure_version: str | None = None
    azure_deployment: str | None = None


@lru_cache(maxsize=256)
def embedding_config(handle: str, dimensions: int | None = None) -> EmbeddingConfigState:
    """An embedding model in the deprecated form; `dimensions` as listed unless given."""
    return EmbeddingConfigState(
        handle=handle,
        embedding_model=handle.partition("/")[2],
        embedding_dim=listed_dimensions(handle) if dimensions is None else dimensions,
        embedding_endpoint_type=embedding_endpoint_type(handle),
    )
