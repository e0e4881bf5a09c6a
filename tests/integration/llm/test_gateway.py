"""The real path: client, gateway process, LiteLLM, HTTP, a provider that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from tests.integration.llm.conftest import KEY

from o_contracts.llm import EmbedRequest, LlmDelta, LlmMessage, LlmRequest, LlmResult, LlmTool
from o_contracts.messages import ToolCall, Usage
from o_platform.errors import (
    LlmBadRequestError,
    LlmError,
    LlmRateLimitedError,
    LlmTimeoutError,
    LlmUnauthorizedError,
)
from o_platform.llm.catalogue import list_models
from o_platform.llm.client import LlmClient
from o_platform.settings import Settings
from o_platform.testing.openai_server import Cut, Fail, Garbage, Hang, OpenAiServer
from o_platform.testing.wire_formats import Reply

if TYPE_CHECKING:
    from tests.integration.llm.conftest import RunningGateway

pytestmark = pytest.mark.integration

HANDLES = {
    "local/gpt-x": "/v1/chat/completions",
    "openai/gpt-4o-mini": "/v1/chat/completions",
    "groq/openai/gpt-oss-20b": "/v1/chat/completions",
    "anthropic/claude-sonnet-4-5": "/v1/messages",
    "ollama/llama3": "/api/chat",
}
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
every_handle = pytest.mark.parametrize("model", HANDLES)


def ask(model: str = "local/gpt-x", *, stream: bool = False, **more: Any) -> LlmRequest:
    messages = more.pop("messages", [LlmMessage("system", "be kind"), LlmMessage("user", "hi")])
    return LlmRequest(model=model, messages=messages, stream=stream, **more)


async def complete(client: LlmClient, request: LlmRequest) -> tuple[list[LlmDelta], LlmResult]:
    deltas: list[LlmDelta] = []
    async with aclosing(client.complete(request)) as items:
        async for item in items:
            if isinstance(item, LlmResult):
                return deltas, item
            deltas.append(item)
    raise AssertionError("no result")


@both
@every_handle
async def test_every_provider_answers(
    client: LlmClient, provider: OpenAiServer, model: str, stream: bool
) -> None:
    deltas, result = await complete(client, ask(model, stream=stream))
    assert result.text == "hello from the test server"
    assert "".join(delta.text for delta in deltas) == (result.text if stream else "")
    assert len(deltas) == (5 if stream else 0)
    assert (result.model, result.finish_reason) == (model, "stop")
    assert result.usage == Usage(prompt_tokens=11, completion_tokens=7)
    assert [call.path for call in provider.calls] == [HANDLES[model]]


@both
@every_handle
async def test_tools_are_offered_and_called(
    client: LlmClient, provider: OpenAiServer, model: str, stream: bool
) -> None:
    provider.play(Reply("", tool_calls=(("look", '{"at": "sky"}'),)))
    tool = LlmTool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
    call = ToolCall("call_9", "look", '{"at": "sea"}')
    messages = [
        LlmMessage("user", "look"),
        LlmMessage("assistant", tool_calls=[call]),
        LlmMessage("tool", "blue", tool_call_id="call_9"),
    ]
    _, result = await complete(client, ask(model, stream=stream, tools=[tool], messages=messages))
    assert result.finish_reason == "tool_calls"
    assert [(c.name, json.loads(c.arguments)) for c in result.tool_calls] == [
        ("look", {"at": "sky"})
    ]
    assert result.tool_calls[0].tool_call_id
    sent = json.dumps(provider.calls[0].body)
    assert "Looks." in sent
    assert "blue" in sent
    assert "call_9" in sent or model.startswith("ollama/")


@both
@every_handle
async def test_a_traced_call_tells_what_was_really_sent(
    client: LlmClient, provider: OpenAiServer, model: str, stream: bool
) -> None:
    tool = LlmTool("look", "Looks.", {"type": "object", "properties": {}})
    asked = ask(model, stream=stream, tools=[tool], settings={"temperature": 0.5})
    _, plain = await complete(client, asked)
    assert plain.trace is None
    _, result = await complete(client, replace(asked, traced=True))
    assert result.trace is not None
    assert json.loads(result.trace.request) == provider.calls[1].body
    assert provider.calls[0].body == provider.calls[1].body
    assert "hello from the test server" in result.trace.response
    assert KEY not in result.trace.request + result.trace.response


@both
async def test_several_calls_and_reasoning(
    client: LlmClient, provider: OpenAiServer, stream: bool
) -> None:
    provider.play(Reply("two", tool_calls=(("a", '{"n": 1}'), ("b", "{}")), reasoning="let me see"))
    deltas, result = await complete(client, ask(stream=stream))
    assert result.reasoning == "let me see"
    assert result.text == "two"
    assert [(call.name, call.arguments) for call in result.tool_calls] == [
        ("a", '{"n": 1}'), ("b", "{}"),
    ]  # fmt: skip
    if stream:
        assert "".join(delta.reasoning for delta in deltas) == "let me see"
        pieces = [piece for delta in deltas for piece in delta.tool_calls]
        assert "".join(piece.arguments for piece in pieces if piece.index == 0) == '{"n": 1}'


async def test_keys_go_to_their_provider_alone(client: LlmClient, provider: OpenAiServer) -> None:
    for model in HANDLES:
        await complete(client, ask(model))
    keys = [call.headers.get("authorization", "") for call in provider.calls]
    assert keys == ["Bearer local-key", "Bearer none", "Bearer gsk-1234567890-very-secret", "", ""]


async def test_prices_are_known_by_model(client: LlmClient, provider: OpenAiServer) -> None:
    _, priced = await complete(client, ask("openai/gpt-4o-mini", stream=True))
    assert priced.cost_usd == pytest.approx(11 * 0.15e-6 + 7 * 0.6e-6)
    _, unknown = await complete(client, ask("local/gpt-x"))
    assert unknown.cost_usd == 0.0


async def test_settings_pass_but_addresses_and_keys_do_not(
    client: LlmClient, provider: OpenAiServer
) -> None:
    settings = {
        "temperature": 0.5,
        "max_tokens": 9,
        "api_base": "http://127.0.0.1:1",
        "api_key": "mine",
        "extra_headers": {"x-a": "b"},
        "mock_response": "no",
    }
    _, result = await complete(client, ask(settings=settings))
    assert result.text.startswith("hello")
    (call,) = provider.calls
    assert (call.body["temperature"], call.body["max_tokens"]) == (0.5, 9)
    assert call.headers["authorization"] == "Bearer local-key"
    assert "x-a" not in call.headers


async def test_missing_usage_is_estimated(client: LlmClient, provider: OpenAiServer) -> None:
    provider.play(Reply("four", usage=None))
    _, result = await complete(client, ask(stream=True))
    assert result.usage.prompt_tokens > 0
    assert result.usage.completion_tokens == 1


@both
async def test_rate_limits_are_waited_out(
    client: LlmClient, provider: OpenAiServer, stream: bool
) -> None:
    provider.play(Fail(429, retry_after="0.3"), Fail(429, retry_after="0.3"))
    started = time.monotonic()
    _, result = await complete(client, ask(stream=stream))
    assert result.text.startswith("hello")
    assert len(provider.calls) == 3
    assert time.monotonic() - started >= 0.6


async def test_rate_limits_that_last_are_reported(
    client: LlmClient, provider: OpenAiServer
) -> None:
    provider.play(*[Fail(429, retry_after="0")] * 3)
    with pytest.raises(LlmRateLimitedError, match="takes no more requests now: told to fail"):
        await complete(client, ask())
    assert len(provider.calls) == 3
    provider.reset()
    provider.play(Fail(429, retry_after="3600"))
    with pytest.raises(LlmRateLimitedError):
        await complete(client, ask())
    assert len(provider.calls) == 1


@both
@pytest.mark.parametrize("failure", [Fail(500), Fail(503), Garbage(), Cut(0)])
async def test_passing_failures_are_tried_again(
    client: LlmClient, provider: OpenAiServer, failure: Fail | Garbage | Cut, stream: bool
) -> None:
    provider.play(failure)
    _, result = await complete(client, ask(stream=stream))
    assert result.text.startswith("hello")
    assert len(provider.calls) == 2


@both
@pytest.mark.parametrize(
    ("failure", "problem"),
    [(Fail(500), "failed: told to fail"), (Garbage(), "not JSON|without a finish reason")],
)
async def test_lasting_failures_are_reported(
    client: LlmClient, provider: OpenAiServer, failure: Fail | Garbage, problem: str, stream: bool
) -> None:
    provider.play(*[failure] * 3)
    with pytest.raises(LlmError, match=problem) as caught:
        await complete(client, ask(stream=stream))
    assert caught.value.code == "llm_error"
    assert caught.value.detail["model"] == "local/gpt-x"
    assert len(provider.calls) == 3


@both
@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_refused_requests_are_not_repeated(
    client: LlmClient, provider: OpenAiServer, status: int, stream: bool
) -> None:
    provider.play(Fail(status, message="context too long"))
    with pytest.raises(LlmBadRequestError, match="refused the request: context too long"):
        await complete(client, ask(stream=stream))
    assert len(provider.calls) == 1


async def test_a_key_never_comes_back(client: LlmClient, provider: OpenAiServer) -> None:
    said = "Incorrect API key provided: gsk-1234567890-very-secret, Bearer sk-abcdef123"
    provider.play(Fail(401, message=said))
    with pytest.raises(LlmUnauthorizedError) as caught:
        await complete(client, ask("groq/openai/gpt-oss-20b"))
    assert "refused the provider key: Incorrect API key provided: ***" in caught.value.message
    assert "secret" not in caught.value.message
    assert "abcdef" not in caught.value.message
    assert len(provider.calls) == 1


async def test_missing_keys_and_unknown_providers(
    client: LlmClient, provider: OpenAiServer
) -> None:
    with pytest.raises(LlmUnauthorizedError, match="XAI_API_KEY"):
        await complete(client, ask("xai/grok-4"))
    with pytest.raises(LlmBadRequestError, match="no model provider `nobody`"):
        await complete(client, ask("nobody/x"))
    with pytest.raises(LlmBadRequestError, match="not a model handle"):
        await complete(client, ask("huggingface/http://127.0.0.1:1/x"))
    assert provider.calls == []


async def test_a_provider_that_hangs_is_given_up(client: LlmClient, provider: OpenAiServer) -> None:
    provider.play(Hang(), Hang())
    calls = [complete(client, ask(stream=stream)) for stream in (False, True)]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, LlmTimeoutError)
        assert "did not answer within 6 s" in outcome.message
    await asyncio.to_thread(provider.wait_for_disconnect)


async def test_a_stream_that_falls_silent_is_given_up(
    client: LlmClient, provider: OpenAiServer
) -> None:
    provider.play(Hang(after_chunks=3))
    with pytest.raises(LlmTimeoutError, match=r"silent for 0\.5 s"):
        await complete(client, ask(stream=True))
    assert len(provider.calls) == 1


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"])
@pytest.mark.parametrize("clean", [False, True])
async def test_a_stream_cut_in_the_middle_is_an_error(
    client: LlmClient, provider: OpenAiServer, model: str, clean: bool
) -> None:
    provider.play(Cut(after_chunks=4, clean=clean))
    seen: list[str] = []

    async def read() -> None:
        async with aclosing(client.complete(ask(model, stream=True))) as items:
            async for item in items:
                seen.append(item.text)

    with pytest.raises(LlmError, match="broke"):
        await read()
    assert seen[0] == "one "
    assert len(provider.calls) == 1


async def test_leaving_a_stream_cancels_it_at_the_provider(
    client: LlmClient, provider: OpenAiServer
) -> None:
    provider.play(Hang(after_chunks=3))
    async with aclosing(client.complete(ask(stream=True))) as items:
        assert isinstance(await anext(items), LlmDelta)
    await asyncio.to_thread(provider.wait_for_disconnect)


async def test_calls_run_side_by_side_up_to_the_limit(
    client: LlmClient, provider: OpenAiServer
) -> None:
    provider.play(*[Reply(f"reply {n}", delay_s=0.3) for n in range(4)])
    started = time.monotonic()
    results = await asyncio.gather(*(complete(client, ask()) for _ in range(4)))
    assert sorted(result.text for _, result in results) == [f"reply {n}" for n in range(4)]
    assert time.monotonic() - started >= 0.6


async def test_a_slow_reader_loses_nothing(client: LlmClient, provider: OpenAiServer) -> None:
    words = " ".join(str(n) for n in range(300))
    provider.play(Reply(words))
    stream = client.complete(ask(stream=True))
    first = await anext(stream)
    assert isinstance(first, LlmDelta)
    _, other = await complete(client, ask(stream=True))
    assert other.text.startswith("hello")
    deltas = [item async for item in stream]
    assert isinstance(deltas[-1], LlmResult)
    assert first.text + "".join(item.text for item in deltas[:-1]) == words == deltas[-1].text


async def test_models_of_own_endpoints_are_listed(
    client: LlmClient, provider: OpenAiServer
) -> None:
    answer = await client.models()
    found = {model.handle: model.context_window for model in answer.models}
    assert found == {
        "groq/gpt-test": 65536,
        "local/gpt-test": 65536,
        "ollama/gpt-test": 0,
        "openai/gpt-test": 65536,
    }
    (problem,) = answer.problems
    assert "`gone`" in problem


async def test_the_catalogue_adds_what_endpoints_have(
    client: LlmClient, provider: OpenAiServer, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(llm_base_urls={"local": provider.base_url}, llm_models=["local/gpt-test"])
    models = {model.handle: model for model in await list_models(settings, client)}
    assert models["local/gpt-test"].context_window == 65536
    assert "ollama/gpt-test" in models
    assert "`gone`" in caplog.text


async def test_the_log_is_json_without_keys(
    client: LlmClient, provider: OpenAiServer, running_gateway: RunningGateway
) -> None:
    provider.play(Fail(401, message="gsk-1234567890-very-secret"), *[Fail(500)] * 3)
    for model in ("groq/openai/gpt-oss-20b", "local/x"):
        with pytest.raises(LlmError):
            await complete(client, ask(model))
    text = running_gateway.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["process"] for line in lines} == {"llm"}
    assert not [line for line in lines if line["level"] == "error"]
    assert "very-secret" not in text
    assert running_gateway.output.read_text() == ""


async def test_texts_are_embedded_in_order(client: LlmClient, provider: OpenAiServer) -> None:
    provider.play(Fail(500), Reply())
    answer = await client.embed(EmbedRequest("local/embed-16", ["green tea", "dog", "tea green"]))
    assert [len(vector) for vector in answer.vectors] == [16, 16, 16]
    assert answer.vectors[0] == answer.vectors[2] != answer.vectors[1]
    assert answer.prompt_tokens == 3
    assert provider.calls[-1].path == "/v1/embeddings"
    assert provider.calls[-1].headers["authorization"] == "Bearer local-key"


async def test_a_refused_embedding_is_told(client: LlmClient, provider: OpenAiServer) -> None:
    provider.play(Fail(400, message="too long"))
    with pytest.raises(LlmBadRequestError, match="too long"):
        await client.embed(EmbedRequest("openai/text-embedding-3-small", ["x"]))
    provider.play(Garbage(), Garbage(), Garbage())  # The first try and both retries.
    with pytest.raises(LlmError):
        await client.embed(EmbedRequest("local/embed-8", ["x"]))
    assert len(provider.calls) == 4
    with pytest.raises(LlmBadRequestError, match="no model provider"):
        await client.embed(EmbedRequest("nobody/embed-8", ["x"]))
