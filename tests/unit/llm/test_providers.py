from __future__ import annotations

import pytest

from o_platform.errors import LlmBadRequestError, LlmUnauthorizedError
from o_platform.llm.failures import LONGEST_MESSAGE, redact
from o_platform.llm.providers import Target, keys_in, resolve

pytestmark = pytest.mark.unit

ENVIRONMENT = {"OPENAI_API_KEY": "sk-o", "LOCAL_API_KEY": "loc", "MY_LAB_API_KEY": "lab"}
URL = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("handle", "base_urls", "target"),
    [
        ("openai/gpt-5", {}, Target("openai/gpt-5", None, "sk-o")),
        ("openai/gpt-5", {"openai": URL}, Target("openai/gpt-5", URL, "sk-o")),
        ("local/a/b:7b", {"local": URL}, Target("openai/a/b:7b", URL, "loc")),
        ("my-lab/x", {"my-lab": URL}, Target("openai/x", URL, "lab")),
        ("vllm/x", {"vllm": URL}, Target("openai/x", URL, "none")),
        ("groq/x", {"groq": URL}, Target("groq/x", URL, "none")),
        ("ollama/x", {}, Target("ollama_chat/x", "http://127.0.0.1:11434", None)),
        ("ollama/x", {"ollama": "http://h:1"}, Target("ollama_chat/x", "http://h:1", None)),
        ("ollama/x", {"ollama": URL}, Target("openai/x", URL, "none")),
    ],
)
def test_handles_lead_to_targets(handle: str, base_urls: dict[str, str], target: Target) -> None:
    assert resolve(handle, base_urls, ENVIRONMENT) == target


@pytest.mark.parametrize(
    "handle",
    ["gpt-5", "", "/x", "openai/", "huggingface/http://h/x", "openai/../x", "o p/x", "a/b\n"],
)
def test_what_is_no_handle_is_refused(handle: str) -> None:
    with pytest.raises(LlmBadRequestError, match="not a model handle"):
        resolve(handle, {}, ENVIRONMENT)


def test_unknown_providers_and_missing_keys_say_what_to_do() -> None:
    with pytest.raises(LlmBadRequestError, match="O_LLM_BASE_URLS"):
        resolve("sagemaker/x", {}, ENVIRONMENT)
    with pytest.raises(LlmUnauthorizedError, match="ANTHROPIC_API_KEY"):
        resolve("anthropic/x", {}, ENVIRONMENT)


def test_keys_do_not_show() -> None:
    assert "sk-o" not in repr(resolve("openai/x", {}, ENVIRONMENT))
    keys = keys_in(ENVIRONMENT, ["local"])
    assert sorted(keys) == ["loc", "sk-o"]
    said = redact("key sk-o, Bearer abc, sk-ant-REDACTED, gsk_12345678 of task-runner", keys)
    assert said == "key ***, ***, ***, *** of task-runner"
    assert len(redact("x" * 9999, [])) == LONGEST_MESSAGE + 1
