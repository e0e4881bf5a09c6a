"""`/v1/models`: the models that agents can be given."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from o_platform.agents.defaults import DEFAULT_CONTEXT_WINDOW, DEFAULT_EMBEDDING
from o_platform.api.agents.schemas import EmbeddingConfigState, LlmConfigState
from o_platform.api.agents.views import embedding_config
from o_platform.api.deps import PlatformDep
from o_platform.api.providers import endpoint_type, provider_type

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
    """List the built-in models and those that the settings name (`O_LLM_MODELS`)."""
    models = [_model(handle) for handle in platform.model_handles()]
    return [model for model in models if _is_wanted(model, query)]


@router.get("/embedding")
async def list_embedding_models() -> list[EmbeddingModelState]:
    """List the embedding models."""
    provider, _, name = DEFAULT_EMBEDDING.partition("/")
    return [
        EmbeddingModelState(
            **embedding_config().model_dump(), name=name, display_name=DEFAULT_EMBEDDING,
            provider_type=provider_type(DEFAULT_EMBEDDING), provider_name=provider,
        )
    ]  # fmt: skip


def _model(handle: str) -> ModelState:
    provider, _, name = handle.partition("/")
    return ModelState(
        model=name, name=name, handle=handle, display_name=handle, provider_name=provider,
        provider_type=provider_type(handle), model_endpoint_type=endpoint_type(handle),
        context_window=DEFAULT_CONTEXT_WINDOW, max_context_window=DEFAULT_CONTEXT_WINDOW,
    )  # fmt: skip


def _is_wanted(model: ModelState, query: ModelListQuery) -> bool:
    categories = query.provider_category
    return (
        (query.provider_name is None or model.provider_name == query.provider_name)
        and (query.provider_type is None or model.provider_type == query.provider_type)
        and (categories is None or model.provider_category in categories)
    )
