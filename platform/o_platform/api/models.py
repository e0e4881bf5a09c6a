"""`/v1/models`: the models that agents can be given."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from o_platform.api.agents.schemas import LlmConfigState
from o_platform.api.deps import PlatformDep
from o_platform.api.embedding_configs import EmbeddingConfigState, embedding_config
from o_platform.api.providers import endpoint_type, provider_type
from o_platform.llm.catalogue import ModelInfo
from o_platform.llm.embedding import embedding_handles

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelListQuery(BaseModel):
    """Which models to list."""

    provider_category: list[str] | None = None
    provider_name: str | None = None
    provider_type: str | None = None


class ModelState(LlmConfigState):
    """A language model as the API shows it."""

    name: str
    provider_type: str
    max_context_window: int
    model_type: str = "llm"


class EmbeddingModelState(EmbeddingConfigState):
    """An embedding model as the API shows it."""

    name: str
    display_name: str
    provider_type: str
    provider_name: str
    model_type: str = "embedding"


@router.get("")
async def list_models(
    platform: PlatformDep, query: Annotated[ModelListQuery, Query()]
) -> list[ModelState]:
    """List the built-in models, those of `O_LLM_MODELS`, and what `O_LLM_BASE_URLS` offer."""
    models = [_model(info) for info in await platform.models()]
    return [model for model in models if _is_wanted(model, query)]


@router.get("/embedding")
async def list_embedding_models(platform: PlatformDep) -> list[EmbeddingModelState]:
    """List the local embedding models and those of `O_EMBEDDING_MODELS`."""
    return [_embedding_model(handle) for handle in embedding_handles(platform.settings)]


def _embedding_model(handle: str) -> EmbeddingModelState:
    provider, _, name = handle.partition("/")
    return EmbeddingModelState(
        **embedding_config(handle).model_dump(), name=name, display_name=handle,
        provider_type=provider_type(handle), provider_name=provider,
    )  # fmt: skip


def _model(info: ModelInfo) -> ModelState:
    handle = info.handle
    return ModelState(
        model=info.name, name=info.name, handle=handle, display_name=handle,
        provider_name=info.provider_name, provider_type=provider_type(handle),
        model_endpoint_type=endpoint_type(handle), context_window=info.context_window,
        max_context_window=info.context_window,
    )  # fmt: skip


def _is_wanted(model: ModelState, query: ModelListQuery) -> bool:
    categories = query.provider_category
    return (
        (query.provider_name is None or model.provider_name == query.provider_name)
        and (query.provider_type is None or model.provider_type == query.provider_type)
        and (categories is None or model.provider_category in categories)
    )
