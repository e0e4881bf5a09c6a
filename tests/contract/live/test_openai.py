"""Any OpenAI client can talk to an agent; here the real one does, over both APIs."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from letta_client import Letta
from openai import OpenAI
from tests.contract.live.conftest import Live

pytestmark = pytest.mark.contract
UNKNOWN = "agent-00000001-0000-4000-8000-000000000000"


@pytest.fixture
def client(live: Live) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{live.url}/v1", api_key=live.key, max_retries=0) as client:
        yield client


@pytest.fixture
def agent_id(letta: Letta) -> str:
    return letta.agents.create(model="o/echo").id


def test_a_completion_is_a_turn(client: OpenAI, letta: Letta, agent_id: str) -> None:
    first = client.chat.completions.create(
        model=agent_id, messages=[{"role": "user", "content": "hello"}]
    )
    assert first.choices[0].message.content == "echo: hello"
    assert first.choices[0].finish_reason == "stop"
    assert first.usage is not None
    assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens > 0

    # The client sends everything again; only what is new reaches the agent.
    client.chat.completions.create(
        model=agent_id,
        messages=[
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "echo: hello"},
            {"role": "user", "content": [{"type": "text", "text": "again"}]},
        ],
    )
    said = [m for m in letta.agents.messages.list(agent_id) if m.message_type == "user_message"]
    assert len(said) == 2


def test_a_completion_streams(client: OpenAI, agent_id: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model=agent_id,
            messages=[{"role": "user", "content": "one two three"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    deltas = [c.choices[0].delta.content for c in chunks if c.choices]
    assert "".join(text or "" for text in deltas) == "echo: one two three"
    assert sum(bool(text) for text in deltas) > 1
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert [reason for reason in reasons if reason] == ["stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_a_response_is_a_run(client: OpenAI, letta: Letta, agent_id: str) -> None:
    made = client.responses.create(model=agent_id, input="hello", metadata={"k": "v"})
    assert (made.output_text, made.status, made.metadata) == (
        "echo: hello",
        "completed",
        {"k": "v"},
    )
    assert letta.runs.retrieve(made.id.replace("resp_", "run-")).agent_id == agent_id
    again = client.responses.retrieve(made.id)
    assert (again.output_text, again.usage) == (made.output_text, made.usage)

    second = client.responses.create(
        model=agent_id,
        input=[{"role": "user", "content": [{"type": "input_text", "text": "more"}]}],
        previous_response_id=made.id,
    )
    assert second.output_text == "echo: more"
    other = letta.agents.create(model="o/echo").id
    with pytest.raises(openai.UnprocessableEntityError, match="is a response of"):
        client.responses.create(model=other, input="x", previous_response_id=made.id)


def test_a_response_streams(client: OpenAI, agent_id: str) -> None:
    with client.responses.stream(model=agent_id, input="one two three") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") > 1
    assert final.output_text == "echo: one two three"
    assert final.usage is not None


def test_errors_are_in_the_form_of_these_apis(client: OpenAI, agent_id: str) -> None:
    said: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model=UNKNOWN, messages=said)
    assert "not found" in unknown.value.message
    with pytest.raises(openai.BadRequestError) as no_agent:
        client.chat.completions.create(model="gpt-4o", messages=said)
    assert no_agent.value.param == "model"
    with pytest.raises(openai.UnprocessableEntityError, match="end with a message of the user"):
        client.responses.create(model=agent_id, input=[{"role": "assistant", "content": "x"}])
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=UNKNOWN, messages=said, stream=True)
    with pytest.raises(openai.NotFoundError, match="no response"):
        client.responses.retrieve("resp_" + UNKNOWN.removeprefix("agent-"))
