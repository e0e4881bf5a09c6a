"""The models an operator offers, for `GET /v1/models/`.

Built-in ones always; those of `settings.llm_models`; and, when a connection to the gateway is
given, whatever the endpoints of `settings.llm_base_urls` say they have. Context windows come from
the endpoint, else from the list that LiteLLM ships.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from o_contracts.llm import FoundModel
from o_platform.errors import LlmError
from o_platform.llm.builtin import BUILTIN_MODELS
from o_platform.llm.client import LlmClient
from o_platform.llm.prices import listed_model
from o_platform.llm.providers import PROVIDERS, split_handle
from o_platform.settings import Settings

BUILTIN_CONTEXT_WINDOW: Final = 1_000_000
UNKNOWN_CONTEXT_WINDOW: Final = 32_768
"""Tokens assumed where neither the endpoint nor LiteLLM's list says."""
DEFAULT_MAX_OUTPUT_TOKENS: Final = 4_096
_log = logging.getLogger(__name__)


class ModelInfo(msgspec.Struct, frozen=True):
    """A language model. `provider_type` is the API's word: its protocol."""

    handle: str
    provider_name: str
    provider_type: str
    name: str
    context_window: int
    max_output_tokens: int


async def list_models(settings: Settings, gateway: LlmClient | None = None) -> list[ModelInfo]:
    """Every model, built-in ones first, each handle once.

    Without `gateway` nothing is asked or started. An endpoint that does not answer is left out and
    logged.
    """
    found = await _found(gateway) if gateway is not None and settings.llm_base_urls else []
    windows = {model.handle: model.context_window for model in found}
    handles = dict.fromkeys([*BUILTIN_MODELS, *settings.llm_models, *windows])
    return [_info(handle, windows.get(handle, 0)) for handle in handles if _is_usable(handle)]


async def _found(gateway: LlmClient) -> list[FoundModel]:
    try:
        answer = await gateway.models()
    except LlmError as error:
        _log.warning("models not listed: %s", error.message)
        return []
    for problem in answer.problems:
        _log.warning("models not listed: %s", problem)
    return answer.models


def _is_usable(handle: str) -> bool:
    try:
        split_handle(handle)
    except LlmError as error:
        _log.warning("model not listed: %s", error.message)
        return False
    return True


def _info(handle: str, window: int) -> ModelInfo:
    provider, name = split_handle(handle)
    if handle in BUILTIN_MODELS:
        window, output = BUILTIN_CONTEXT_WINDOW, DEFAULT_MAX_OUTPUT_TOKENS
    else:
        listed_window, output = _listed_limits(handle)
        window = window or listed_window
    kind = provider if provider in PROVIDERS else "openai"
    return ModelInfo(handle, provider, kind, name, window, output)


def _listed_limits(handle: str) -> tuple[int, int]:
    entry = listed_model(handle)
    window, output = entry.max_input_tokens, entry.max_output_tokens
    return (
        int(window) if isinstance(window, int | float) else UNKNOWN_CONTEXT_WINDOW,
        int(output) if isinstance(output, int | float) else DEFAULT_MAX_OUTPUT_TOKENS,
    )
