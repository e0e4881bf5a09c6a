from __future__ import annotations

import pytest

from o_platform.llm.catalogue import list_models
from o_platform.llm.client import LlmClient
from o_platform.settings import Settings
from o_platform.testing.openai_server import OpenAiServer

pytestmark = pytest.mark.integration


async def test_models_that_endpoints_have_are_added(
    client: LlmClient, provider: OpenAiServer, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(llm_base_urls={"local": provider.base_url}, llm_models=["local/gpt-test"])
    models = {model.handle: model for model in await list_models(settings, client)}
    assert models["local/gpt-test"].context_window == 65536
    assert "ollama/gpt-test" in models
    assert "`gone`" in caplog.text
