from __future__ import annotations

import sys

import pytest

from o_platform.llm.catalogue import UNKNOWN_CONTEXT_WINDOW, list_models
from o_platform.settings import Settings

pytestmark = pytest.mark.unit


async def test_built_in_models_come_first_and_windows_are_known() -> None:
    settings = Settings(llm_models=["openai/gpt-4o-mini", "o/echo", "lab/x", "not a handle"])
    models = await list_models(settings)
    assert [model.handle for model in models] == [
        "o/echo", "o/scripted", "openai/gpt-4o-mini", "lab/x",
    ]  # fmt: skip
    known, unknown = models[2:]
    assert (known.context_window, known.max_output_tokens) == (128_000, 16_384)
    assert (known.provider_name, known.name, known.provider_type) == (
        "openai", "gpt-4o-mini", "openai",
    )  # fmt: skip
    assert unknown.context_window == UNKNOWN_CONTEXT_WINDOW
    assert unknown.provider_type == "openai"
    assert "litellm" not in sys.modules
