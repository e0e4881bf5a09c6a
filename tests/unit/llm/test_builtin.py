from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from o_contracts.llm import LlmDelta, LlmMessage, LlmRequest, LlmResult, LlmTool
from o_contracts.messages import ToolCall, Usage
from o_platform.errors import LlmBadRequestError, LlmRateLimitedError, SetupError
from o_platform.llm.builtin import BuiltinModels, deltas_of, echo, is_builtin

pytestmark = pytest.mark.unit


def ask(text: str, *, model: str = "o/scripted", **more: object) -> LlmRequest:
    return LlmRequest(model=model, messages=[LlmMessage("user", text)], **more)  # type: ignore[arg-type]


def scripted(folder: Path, yaml: str) -> BuiltinModels:
    path = folder / "script.yaml"
    path.write_text(yaml)
    return BuiltinModels(path)


def now(models: BuiltinModels, request: LlmRequest) -> LlmResult:
    result = models.complete_now(request)
    assert result is not None
    return result


async def collect(models: BuiltinModels, request: LlmRequest) -> list[LlmDelta | LlmResult]:
    return [item async for item in models.complete(request)]


def test_built_in_handles_are_known_by_their_prefix() -> None:
    assert is_builtin("o/echo")
    assert is_builtin("o/scripted")
    assert not is_builtin("openai/gpt-4o")


def test_echo_answers_the_last_user_text_and_counts_tokens() -> None:
    request = LlmRequest(
        model="o/echo",
        messages=[
            LlmMessage("system", "be kind"),
            LlmMessage("user", "first"),
            LlmMessage("assistant", "echo: first"),
            LlmMessage("user", [{"type": "text", "text": "sec"}, {"type": "text", "text": "ond"}]),
        ],
    )
    result = now(BuiltinModels(), request)
    assert result.text == "echo: sec\nond"
    assert result.usage == Usage(prompt_tokens=8 + 16, completion_tokens=4)
    assert echo(LlmRequest(model="o/echo", messages=[])).text == "echo: "


async def test_streamed_deltas_join_to_the_result() -> None:
    items = await collect(BuiltinModels(), ask("two  words\n", model="o/echo", stream=True))
    *deltas, result = items
    assert isinstance(result, LlmResult)
    assert [delta.text for delta in deltas] == ["echo:", " two", "  words", "\n"]
    assert len(await collect(BuiltinModels(), ask("two words", model="o/echo"))) == 1


def test_tool_calls_stream_in_pieces() -> None:
    call = ToolCall("call_1", "send", '{"to": "you", "n": 1}')
    pieces = [
        piece for delta in deltas_of(LlmResult(tool_calls=[call])) for piece in delta.tool_calls
    ]
    assert (pieces[0].tool_call_id, pieces[0].name) == ("call_1", "send")
    assert "".join(piece.arguments for piece in pieces) == call.arguments
    assert {piece.index for piece in pieces} == {0}


def test_unknown_built_in_model_is_refused() -> None:
    with pytest.raises(LlmBadRequestError, match="o/echo, o/scripted"):
        BuiltinModels().complete_now(ask("x", model="o/gpt"))


def test_default_script_calls_a_memory_tool_then_ends() -> None:
    models = BuiltinModels()
    tool = LlmTool("core_memory_append", "", {})
    request = ask("Please remember that I like tea.", tools=[tool], run_id="run-1")
    (call,) = now(models, request).tool_calls
    assert call.name == "core_memory_append"
    assert json.loads(call.arguments) == {"label": "human", "content": "I like tea"}
    after = LlmRequest(
        model="o/scripted",
        messages=[
            *request.messages,
            LlmMessage("assistant", tool_calls=[call]),
            LlmMessage("tool", "None", tool_call_id=call.tool_call_id),
        ],
        tools=[tool],
    )
    assert now(models, after).text == "Done."
    assert now(models, ask("remember that I like tea.")).text.startswith("I am o/scripted")


def test_captured_groups_fill_text_and_arguments(tmp_path: Path) -> None:
    models = scripted(
        tmp_path,
        r"""
rules:
  - when: {user: {regex: 'I am (?P<name>\w+)'}, system: "You are"}
    reply:
      text: Hello $name, turn $turn costs $$5
      tool_calls: [{name: note, arguments: {deep: [{who: $name}], n: 3}}]
  - reply: {text: stranger}
""",
    )
    talk = [LlmMessage("system", "you are O"), LlmMessage("user", "I am Ada")]
    result = now(models, LlmRequest(model="o/scripted", messages=talk))
    assert result.text == "Hello Ada, turn 1 costs $5"
    assert json.loads(result.tool_calls[0].arguments) == {"deep": [{"who": "Ada"}], "n": 3}
    assert result.finish_reason == "tool_calls"
    assert now(models, ask("I am Ada")).text == "stranger"


def test_sequences_move_on_per_variant_and_once_ends(tmp_path: Path) -> None:
    models = scripted(
        tmp_path,
        """
rules:
  - when: {user: plan}
    once: true
    replies: [{text: a}, {text: b}]
  - replies: [{text: y}, {text: z}]
""",
    )
    texts = [now(models, ask("PLAN")).text for _ in range(5)]
    assert texts == ["a", "b", "y", "z", "z"]
    assert now(models, ask("plan", variant="other")).text == "a"


def test_conditions_on_steps_turns_and_tools(tmp_path: Path) -> None:
    models = scripted(
        tmp_path,
        """
rules:
  - {when: {tool: look, tool_result: {regex: "found (?P<n>[0-9]+)"}}, reply: {text: "$n things"}}
  - {when: {turns: {min: 2}}, reply: {text: again}}
  - {when: {user: go}, reply: {text: first}}
  - {when: {step: 1}, reply: {text: second}}
  - {reply: {text: other}}
""",
    )
    call = LlmMessage("assistant", tool_calls=[ToolCall("c", "look", "{}")])
    user = LlmMessage("user", "go")

    def reply(*messages: LlmMessage) -> str:
        return now(models, LlmRequest(model="o/scripted", messages=list(messages))).text

    assert reply(user) == "first"
    assert reply(user, call, LlmMessage("tool", "found 7", tool_call_id="c")) == "7 things"
    assert reply(user, call, LlmMessage("tool", "nothing", tool_call_id="c")) == "second"
    assert reply(user, LlmMessage("assistant", "hm"), user) == "again"
    assert reply() == "other"


def test_tool_call_ids_are_repeatable_and_differ(tmp_path: Path) -> None:
    models = scripted(tmp_path, "rules: [{reply: {tool_calls: [{name: a}, {name: b}]}}]")
    first = now(models, ask("x", run_id="run-1", seq=0)).tool_calls
    again = now(models, ask("x", run_id="run-1", seq=0)).tool_calls
    later = now(models, ask("x", run_id="run-1", seq=1)).tool_calls
    assert first == again
    assert len({call.tool_call_id for call in [*first, *later]}) == 4


async def test_delays_are_waited_for(tmp_path: Path) -> None:
    models = scripted(tmp_path, "rules: [{reply: {text: a b c, delay_ms: 30, gap_ms: 10}}]")
    assert models.complete_now(ask("x")) is None
    started = time.monotonic()
    items = await collect(models, ask("x", stream=True))
    assert time.monotonic() - started >= 0.06
    assert len(items) == 4


def test_usage_errors_and_wrong_arguments_can_be_scripted(tmp_path: Path) -> None:
    models = scripted(
        tmp_path,
        """
rules:
  - {when: {user: fail}, reply: {error: {code: llm_rate_limited, message: slow down}}}
  - reply: {tool_calls: [{name: a, arguments: "{not json"}], usage: {prompt_tokens: 7}}
""",
    )
    with pytest.raises(LlmRateLimitedError, match="slow down"):
        models.complete_now(ask("fail"))
    result = now(models, ask("x"))
    assert result.tool_calls[0].arguments == "{not json"
    assert result.usage == Usage(prompt_tokens=7)


def test_changed_script_is_read_again_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = scripted(tmp_path, "rules: [{reply: {text: old}}]")
    path = tmp_path / "script.yaml"

    def write(text: str, mtime: int) -> None:
        path.write_text(text)
        os.utime(path, (mtime, mtime))

    write("rules: [{reply: {text: new}}]", 1000)
    assert now(models, ask("x")).text == "new"
    write("rules: [{reply: {txt: typo}}]", 2000)
    assert now(models, ask("x")).text == "new"
    assert "rules.0.replies.0.txt" in caplog.text
    path.unlink()
    assert now(models, ask("x")).text == "new"


@pytest.mark.parametrize(
    ("yaml", "problem"),
    [
        ("rules: []", "at least 1 item"),
        ("rules: [{reply: {text: $who}}]", r"nothing captures \$who"),
        ("rules: [{reply: {text: 5 $ each}}]", "lone dollar sign"),
        ("rules: [{when: {user: {regex: '('}}, reply: {}}]", "malformed"),
        ("rules: [{when: {user: {}}, reply: {}}]", "either `contains` or `regex`"),
        ("rules: [{reply: {}, replies: [{}]}]", "either `reply` or `replies`"),
        ("rules: {", "not YAML"),
        ("- 1", "valid dictionary"),
    ],
)
def test_wrong_scripts_are_refused_with_the_place(tmp_path: Path, yaml: str, problem: str) -> None:
    with pytest.raises(SetupError, match=problem):
        scripted(tmp_path, yaml)


def test_missing_script_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="O_SCRIPTED_MODEL"):
        BuiltinModels(tmp_path / "none.yaml")
