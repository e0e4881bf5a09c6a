"""From bodies of requests to what is created and changed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from o_platform.api.agents.bodies import agent_changes, new_agent
from o_platform.api.agents.schemas import AgentCreate, AgentUpdate
from o_platform.api.providers import endpoint_type, provider_type
from o_platform.errors import NotOfferedError

pytestmark = pytest.mark.unit


def created(**body: object) -> object:
    return new_agent(AgentCreate.model_validate(body), lineage="l", default_model="o/echo")


def changed(**body: object) -> dict[str, object]:
    present = {"provider_type": "openai", "temperature": 0.1}
    return dict(agent_changes(AgentUpdate.model_validate(body), present))


def test_deprecated_fields_are_folded_in() -> None:
    agent = new_agent(
        AgentCreate.model_validate(
            {
                "llm_config": {
                    "model": "gpt-4o",
                    "model_endpoint_type": "openai",
                    "context_window": 9000,
                    "something_else": 1,
                },
                "embedding_config": {"handle": "openai/e", "embedding_dim": 3},
                "max_tokens": 5,
                "parallel_tool_calls": True,
            }
        ),
        lineage="l",
        default_model="o/echo",
    )
    assert (agent.model, agent.embedding) == ("openai/gpt-4o", "openai/e")
    assert agent.config == {"context_window_limit": 9000}
    assert agent.model_settings == {"max_output_tokens": 5, "parallel_tool_calls": True}


def test_what_is_said_wins_over_what_is_deprecated() -> None:
    agent = new_agent(
        AgentCreate.model_validate(
            {
                "model": "groq/x",
                "llm_config": {"handle": "openai/y"},
                "max_tokens": 5,
                "model_settings": {"max_output_tokens": 6},
            }
        ),
        lineage="l",
        default_model="o/echo",
    )
    assert (agent.model, agent.model_settings) == ("groq/x", {"max_output_tokens": 6})


def test_only_what_was_sent_changes() -> None:
    assert changed() == {}
    assert changed(name="n") == {"name": "n"}
    assert changed(name=None, system=None, tags=None) == {}
    assert changed(description=None, metadata=None) == {"description": None, "meta": None}
    assert changed(tags=["a", "a"], block_ids=[]) == {"tags": ["a"], "block_ids": []}
    assert changed(hidden=True) == {"config": {"hidden": True}}


def test_model_settings_are_replaced_and_deprecated_ones_added() -> None:
    assert changed(model_settings={"temperature": 0.9}) == {"model_settings": {"temperature": 0.9}}
    assert changed(max_tokens=7) == {
        "model_settings": {"provider_type": "openai", "temperature": 0.1, "max_output_tokens": 7}
    }


def test_empty_lists_of_what_is_not_offered_are_fine() -> None:
    created(folder_ids=[], source_ids=[], identity_ids=[], secrets={})
    with pytest.raises(NotOfferedError, match="messages in context"):
        changed(message_ids=["message-1"])


def test_dates_come_as_text() -> None:
    assert changed(last_run_completion="2026-11-22T10:00:00Z").keys() == {"last_run_at"}


@pytest.mark.parametrize(
    ("handle", "provider", "endpoint"),
    [
        ("anthropic/claude", "anthropic", "anthropic"),
        ("o/echo", "openai", "openai"),
        ("sglang/x", "sglang", "openai"),
        ("my-own/x/y", "openai", "openai"),
    ],
)
def test_providers(handle: str, provider: str, endpoint: str) -> None:
    assert (provider_type(handle), endpoint_type(handle)) == (provider, endpoint)


def test_deprecated_ways_to_say_how_a_model_answers() -> None:
    config = {"model": "m", "model_endpoint_type": "openai", "temperature": 0.5, "max_tokens": 7}
    form = {"type": "json_schema", "json_schema": {"name": "x"}}
    body = AgentCreate.model_validate(
        {
            "llm_config": config,
            "response_format": form,
            "reasoning": True,
            "compaction_settings": {"mode": "all", "clip_chars": None},
        }
    )
    made = new_agent(body, lineage="default", default_model="o/echo")
    assert made.model_settings == {
        "max_output_tokens": 7,
        "response_format": form,
        "temperature": 0.5,
        "reasoning_effort": "medium",
    }
    assert made.config["compaction_settings"] == {"mode": "all", "clip_chars": None}
    with pytest.raises(ValidationError, match="mode"):
        AgentCreate.model_validate({"compaction_settings": {"mode": "no such"}})
    forgetful = new_agent(
        AgentCreate(message_buffer_autoclear=True), lineage="default", default_model="o/echo"
    )
    assert forgetful.config == {"message_buffer_autoclear": True}


def test_tokens_for_reasoning_are_what_thinking_may_take() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2048}
    assert changed(max_reasoning_tokens=2048)["model_settings"] == {
        "provider_type": "openai", "temperature": 0.1, "thinking": thinking,
    }  # fmt: skip
    assert changed(max_reasoning_tokens=0) == {}
    assert changed(llm_config={"max_reasoning_tokens": 7, "handle": "a/b"})["model_settings"] == {
        "provider_type": "openai", "temperature": 0.1,
        "thinking": {"type": "enabled", "budget_tokens": 7},
    }  # fmt: skip
    with pytest.raises(ValidationError, match="max_reasoning_tokens"):
        AgentUpdate.model_validate({"max_reasoning_tokens": -1})


def test_folders_are_replaced() -> None:
    ids = [f"source-00000000-0000-4000-8000-00000000000{n}" for n in range(2)]
    assert changed(folder_ids=[]) == {"folder_ids": []}
    assert changed(folder_ids=ids[:1], source_ids=ids) == {"folder_ids": ids}
