"""Turns over HTTP against a running instance."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from letta_client import Letta
from letta_client.types.agents import AssistantMessage

from o_contracts.frames import ErrorBody
from o_contracts.llm import LlmRequest, LlmResult
from o_contracts.messages import ToolCall, ToolCode, ToolSpec, Usage

pytestmark = pytest.mark.integration

SEND_MESSAGE = ToolSpec("send_message", "Say it.", {"type": "object", "properties": {}})


def calls(*asked: tuple[str, str]) -> LlmResult:
    made = [ToolCall(f"call_{i}", name, arguments) for i, (name, arguments) in enumerate(asked)]
    return LlmResult(tool_calls=made, finish_reason="tool_calls", usage=Usage(5, 2))


def scripted(*replies: LlmResult) -> Any:
    def answer(request: LlmRequest) -> LlmResult:
        return replies[min(request.seq, len(replies) - 1)]

    return answer


def kinds(response: dict[str, Any]) -> list[str]:
    return [message["message_type"] for message in response["messages"]]


def test_a_turn_answers_in_the_shape_of_the_api(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    response = instance.say(agent_id, "hi there")
    (message,) = response["messages"]
    (commit,) = frame_bridge.commits
    assert set(message) == {
        *("id", "date", "name", "message_type", "otid", "sender_id", "step_id", "is_err"),
        *("seq_id", "run_id", "content"),
    }
    assert message["message_type"] == "assistant_message"
    assert message["content"] == "echo: hi there"
    assert message["otid"] == message["id"].removeprefix("message-")[:-2] + "00"
    assert message["date"].endswith("+00:00")
    assert response["stop_reason"] == {"message_type": "stop_reason", "stop_reason": "end_turn"}
    assert response["usage"] == {
        "message_type": "usage_statistics",
        "completion_tokens": 3,
        "prompt_tokens": 7,
        "total_tokens": 10,
        "step_count": 1,
        "run_ids": [commit.run_id],
        "cached_input_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "context_tokens": 10,
    }
    assert response["logprobs"] is None
    assert response["turns"] is None
    assert [stored.type for stored in commit.messages] == ["user_message", "assistant_message"]
    assert commit.messages[1].id == message["id"]


def test_the_sdk_understands_the_answer(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    transport = httpx.HTTPTransport(uds=str(instance.socket))
    with Letta(base_url="http://o", http_client=httpx.Client(transport=transport)) as client:
        response = client.agents.messages.create(
            agent_id=agent_id, messages=[{"role": "user", "content": "hello"}]
        )
    (message,) = response.messages
    assert isinstance(message, AssistantMessage)
    assert message.content == "echo: hello"
    assert response.stop_reason.stop_reason == "end_turn"
    assert response.usage.total_tokens == 10


def test_headers_and_otids_name_the_request(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    body = {"messages": [{"role": "user", "content": "x", "otid": "mine", "sender_id": "s"}]}
    headers = {
        "x-request-id": "request-1",
        "x-envoy-attempt-count": "2",
        "x-stainless-retry-count": "1",
        "x-o-client": "key-7",
    }
    assert instance.send(agent_id, body, **headers).status_code == 200
    (opening,) = frame_bridge.opened
    assert (opening.request_id, opening.client, opening.otids) == ("request-1", "key-7", ["mine"])
    assert (opening.attempt, opening.sdk_retry) == (2, 1)
    assert len(opening.body_digest) == 64
    assert frame_bridge.commits[0].messages[0].otid == "mine"


def test_a_repeated_request_is_answered_from_its_record(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    first = instance.say(agent_id, "once", **{"x-request-id": "same"})
    again = instance.say(agent_id, "once", **{"x-request-id": "same"})
    assert again["messages"] == first["messages"]
    assert again["stop_reason"] == first["stop_reason"]
    assert len(frame_bridge.commits) == len(frame_bridge.llm_requests) == 1


def test_the_second_turn_needs_no_context_and_sees_the_first(
    instance: Any, frame_bridge: Any
) -> None:
    agent_id = frame_bridge.add_agent()
    instance.say(agent_id, "first")
    instance.say(agent_id, "second")
    assert [opening.have_version for opening in frame_bridge.opened] == [0, 2]
    window = frame_bridge.llm_requests[1].messages
    assert [(m.role, m.content) for m in window[1:]] == [
        ("user", "first"),
        ("assistant", "echo: first"),
        ("user", "second"),
    ]


def test_the_bridges_version_wins_over_the_cache(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    instance.say(agent_id, "first")
    other = frame_bridge.add_agent(system="You have changed.", name="other")
    changed = frame_bridge.agents.pop(other)
    frame_bridge.agents[agent_id] = type(changed)(
        **{f: getattr(changed, f) for f in changed.__struct_fields__}
        | {"agent_id": agent_id, "version": 9}
    )
    instance.say(agent_id, "second")
    assert "You have changed." in frame_bridge.llm_requests[1].messages[0].content
    assert len(frame_bridge.llm_requests[1].messages) == 2


def test_memory_written_by_a_tool_is_seen_in_the_next_step(
    instance: Any, frame_bridge: Any
) -> None:
    inserted = '{"label": "plan", "text": "Buy bread"}'
    frame_bridge.llm = scripted(calls(("memory_insert", inserted)), LlmResult("Noted."))
    spec = ToolSpec("memory_insert", "Append.", {"type": "object", "properties": {}})
    agent_id = frame_bridge.add_agent(tools=[spec])
    response = instance.say(agent_id, "remember bread")
    assert kinds(response) == ["tool_call_message", "tool_return_message", "assistant_message"]
    call, returned, _ = response["messages"]
    assert call["tool_call"] == call["tool_calls"][0]
    assert call["tool_call"]["arguments"] == inserted
    assert returned["tool_returns"][0]["tool_return"] == returned["tool_return"] == "inserted"
    assert returned["name"] == "memory_insert"
    first, second = frame_bridge.llm_requests
    assert "Buy bread" not in first.messages[0].content
    assert "Buy bread" in second.messages[0].content
    assert [m.role for m in second.messages] == ["system", "user", "assistant", "tool"]
    assert [step.stop_reason for step in frame_bridge.commits[0].steps] == [
        "tool_calls",
        "end_turn",
    ]
    assert response["usage"]["step_count"] == 2
    instance.say(agent_id, "and then?")
    assert "Buy bread" in frame_bridge.llm_requests[-1].messages[0].content


def test_a_tool_of_the_genome_runs_in_the_instance(instance: Any, frame_bridge: Any) -> None:
    counted = calls(("count_words", '{"text": "a b a", "unique": true}'))
    frame_bridge.llm = scripted(counted, LlmResult("2"))
    agent_id = frame_bridge.add_agent()
    response = instance.say(agent_id, "count")
    assert response["messages"][1]["tool_return"] == "2"
    assert frame_bridge.tool_calls == []
    (tool,) = frame_bridge.llm_requests[0].tools
    assert tool.name == "count_words"
    assert tool.parameters["properties"]["unique"]["default"] is False
    assert tool.parameters["required"] == ["text"]


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("no_such_tool", "{}", "there is no such tool; the tools are: count_words"),
        ("count_words", '{"text": ', "not valid JSON"),
        ("count_words", "[]", "must be a JSON object"),
        ("count_words", '{"text": 5}', "the arguments do not fit"),
        ("count_words", '{"text": "a", "x": 1}', "the arguments do not fit"),
    ],
)
def test_a_wrong_call_is_an_error_that_the_model_reads(
    instance: Any, frame_bridge: Any, name: str, arguments: str, error: str
) -> None:
    frame_bridge.llm = scripted(calls((name, arguments)), LlmResult("Sorry."))
    response = instance.say(frame_bridge.add_agent(), "go")
    returned = response["messages"][1]
    assert returned["status"] == "error"
    assert returned["is_err"] is True
    assert error in returned["tool_return"]
    assert frame_bridge.llm_requests[1].messages[-1].content == returned["tool_return"]
    assert response["stop_reason"]["stop_reason"] == "end_turn"


def test_a_tool_that_needs_approval_is_not_run(instance: Any, frame_bridge: Any) -> None:
    frame_bridge.llm = scripted(calls(("count_words", '{"text": "a"}')), LlmResult("Sorry."))
    rules = [{"type": "requires_approval", "tool_name": "count_words"}]
    agent_id = frame_bridge.add_agent(tool_rules=rules)
    response = instance.say(agent_id, "go")
    assert kinds(response) == ["approval_request_message"]
    assert response["stop_reason"]["stop_reason"] == "requires_approval"
    call_id = response["messages"][0]["tool_calls"][0]["tool_call_id"]
    approvals = [{"type": "approval", "tool_call_id": call_id, "approve": True}]
    body = {"messages": [{"type": "approval", "approvals": approvals}]}
    frame_bridge.llm = lambda _: LlmResult("One.")
    answered = instance.send(agent_id, body).json()
    assert kinds(answered) == ["tool_return_message", "assistant_message"]
    assert answered["messages"][0]["tool_return"] == "1"
    assert frame_bridge.opened[1].answers == {call_id: True}
    roles = [message.role for message in frame_bridge.llm_requests[-1].messages]
    assert roles == ["system", "user", "assistant", "tool"]


def test_rules_decide_what_is_offered_in_each_step(instance: Any, frame_bridge: Any) -> None:
    specs = [ToolSpec(name, name, {"type": "object", "properties": {}}) for name in "abc"]
    frame_bridge.llm = scripted(
        calls(("b", "{}")),
        calls(("a", '{"k": 1, "n": 0}')),
        LlmResult("Finished?"),
        calls(("c", "{}")),
        LlmResult("Finished."),
    )
    rules = [
        {"type": "run_first", "tool_name": "a", "args": {"n": 5}},
        {"type": "required_before_exit", "tool_name": "c"},
    ]
    response = instance.say(frame_bridge.add_agent(tools=specs, tool_rules=rules), "go")
    requests = frame_bridge.llm_requests
    offered = [sorted(t.name for t in r.tools if t.name in "abc") for r in requests]
    assert offered == [["a"], ["a"], ["a", "b", "c"], ["c"], ["a", "b", "c"]]
    only_a = {"type": "function", "function": {"name": "a"}}
    choices = [r.settings.get("tool_choice") for r in requests]
    assert choices[:3] == [only_a, only_a, None]
    refused, given = response["messages"][1], response["messages"][2]
    assert "a tool rule does not allow it now" in refused["tool_return"]
    assert given["tool_call"]["arguments"] == '{"k":1,"n":5}'
    assert "<tool_usage_rules>" in requests[0].messages[0].content
    assert response["stop_reason"]["stop_reason"] == "end_turn"


def test_a_model_that_never_calls_what_it_must(instance: Any, frame_bridge: Any) -> None:
    rules = [{"type": "required_before_exit", "tool_name": "count_words"}]
    response = instance.say(frame_bridge.add_agent(tool_rules=rules), "go")
    assert response["stop_reason"]["stop_reason"] == "no_tool_call"
    assert response["usage"]["step_count"] == 4


def test_max_steps_stops_a_loop(instance: Any, frame_bridge: Any) -> None:
    frame_bridge.llm = scripted(calls(("count_words", '{"text": "a"}')))
    response = instance.send(frame_bridge.add_agent(), {"input": "go", "max_steps": 3}).json()
    assert response["stop_reason"]["stop_reason"] == "max_steps"
    assert response["usage"]["step_count"] == 3
    assert [request.seq for request in frame_bridge.llm_requests] == [0, 1, 2]


def test_send_message_is_shown_as_an_assistant_message(instance: Any, frame_bridge: Any) -> None:
    frame_bridge.llm = scripted(calls(("send_message", '{"message": "Hello!"}')))
    rules = [{"type": "exit_loop", "tool_name": "send_message"}]
    agent_id = frame_bridge.add_agent(tools=[SEND_MESSAGE], tool_rules=rules)
    response = instance.say(agent_id, "hi")
    assert kinds(response) == ["assistant_message"]
    assert response["messages"][0]["content"] == "Hello!"
    assert response["stop_reason"]["stop_reason"] == "tool_rule"
    raw = instance.send(agent_id, {"input": "hi", "use_assistant_message": False}).json()
    assert kinds(raw) == ["tool_call_message", "tool_return_message"]
    stored = [message.type for message in frame_bridge.commits[0].messages]
    assert stored == ["user_message", "tool_call_message", "tool_return_message"]
    assert frame_bridge.llm_requests[0].settings["parallel_tool_calls"] is False


def test_only_the_asked_message_types_come_back(instance: Any, frame_bridge: Any) -> None:
    reply = LlmResult("Four.", reasoning="2 + 2", usage=Usage(1, 1))
    frame_bridge.llm = scripted(reply)
    agent_id = frame_bridge.add_agent()
    whole = instance.say(agent_id, "2 + 2?")
    assert kinds(whole) == ["reasoning_message", "assistant_message"]
    assert whole["messages"][0]["reasoning"] == "2 + 2"
    assert whole["messages"][0]["source"] == "reasoner_model"
    body = {"input": "2 + 2?", "include_return_message_types": ["assistant_message"]}
    assert kinds(instance.send(agent_id, body).json()) == ["assistant_message"]


def test_overrides_last_one_turn(instance: Any, frame_bridge: Any) -> None:
    agent_id = frame_bridge.add_agent()
    body = {"input": "x", "override_model": "o/other", "override_system": "Be a pirate."}
    assert instance.send(agent_id, body).status_code == 200
    instance.say(agent_id, "y")
    first, second = frame_bridge.llm_requests
    assert (first.model, second.model) == ("o/other", "o/echo")
    assert "Be a pirate." in first.messages[0].content
    assert "You are a test." not in first.messages[0].content
    assert "You are a test." in second.messages[0].content


def test_images_reach_the_model_in_its_own_form(instance: Any, frame_bridge: Any) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image", "source": source}]
    agent_id = frame_bridge.add_agent()
    response = instance.send(agent_id, {"messages": [{"role": "user", "content": parts}]})
    assert response.status_code == 200
    content = frame_bridge.llm_requests[0].messages[-1].content
    assert content[1]["image_url"]["url"] == "data:image/png;base64,AAAA"
    assert frame_bridge.commits[0].messages[0].content == parts


def test_a_failing_model_is_an_error_with_a_code(instance: Any, frame_bridge: Any) -> None:
    frame_bridge.llm = lambda _: ErrorBody("llm_error", "the provider is down", 502)
    agent_id = frame_bridge.add_agent()
    response = instance.send(agent_id, {"input": "x"})
    assert response.status_code == 502
    assert response.json() == {"detail": "the provider is down", "code": "llm_error"}
    assert [end.code for end in frame_bridge.abandoned] == ["llm_error"]
    assert frame_bridge.commits == []


def test_an_unknown_agent_is_404(instance: Any) -> None:
    response = instance.send("agent-00000001-0000-4000-8000-000000000000", {"input": "x"})
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("stop", "end_turn"), ("length", "max_tokens_exceeded")],
)
def test_the_finish_reason_becomes_the_stop_reason(
    instance: Any, frame_bridge: Any, reason: str, stop: str
) -> None:
    frame_bridge.llm = scripted(LlmResult("text", finish_reason=reason))
    response = instance.say(frame_bridge.add_agent(), "x")
    assert response["stop_reason"]["stop_reason"] == stop


ADDED = """
def greet(times: int = 1) -> str:
    'Greet the user.'
    import o
    print("reading")
    name = o.memory.read(label="human")
    try:
        o.http.fetch(url="http://example.org")
    except o.HostError as error:
        print(error)
    return "hello " * times + name
"""


def test_a_tool_added_to_the_agent_runs_in_a_sandbox(instance: Any, frame_bridge: Any) -> None:
    grants = ["memory.read", "http.fetch:example.org"]
    calls = [
        ToolCall("c1", "greet", '{"times": 2}'),
        ToolCall("c2", "greet", '{"times": "x"}'),
    ]
    made = LlmResult(tool_calls=calls, finish_reason="tool_calls", usage=Usage(5, 2))
    frame_bridge.llm = lambda request: made if request.seq == 0 else LlmResult("ok")
    specs = [
        ToolSpec(
            "greet",
            "Greet.",
            {"type": "object"},
            "instance",
            ToolCode(ADDED, "greet", tier, grants),
        )
        for tier in ("restricted", "container", "wasm")
    ]
    for spec in specs:
        response = instance.say(frame_bridge.add_agent(tools=[spec]), "go")
        first, second = [
            m for m in response["messages"] if m["message_type"] == "tool_return_message"
        ]
        assert (first["tool_return"], first["stdout"]) == (
            "hello hello Ada",
            ["reading", "no http.fetch here"],
        )
        assert "the arguments do not fit" in second["tool_return"]
        step = frame_bridge.commits[-1].steps[0]
        assert 0 < step.sandbox_us <= step.tool_us
    script = "const greet = ({ times }) => 'hi '.repeat(times) + o.memory.read({ label: 'human' })"
    code = ToolCode(script, "greet", "module", ["memory.read"], language="javascript")
    spec = ToolSpec("greet", "Greet.", {"type": "object"}, "instance", code)
    message = instance.say(frame_bridge.add_agent(tools=[spec]), "go")["messages"][1]
    assert message["tool_return"] == "hi hi Ada"
    asked = [(call.seq, call.tool, call.name) for call in frame_bridge.host_calls]
    assert sorted(asked[9:]) == [(0, "greet", "memory.read"), (1000, "greet", "memory.read")]
    began = (999, "greet", "o.start")
    assert asked[:9] == [began, (0, "greet", "memory.read"), (1, "greet", "http.fetch")] * 3
