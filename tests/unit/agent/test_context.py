"""Context windows: what the model reads, and what is kept between turns."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_agent.context import (
    ContextCompiler,
    render_memory,
    system_unit,
)
from o_agent.context_cache import ContextCache
from o_agent.genome import Genome, MemoryPolicy
from o_agent.history import MAX_WINDOW_BYTES, History
from o_agent.llm_messages import (
    Unit,
    decode_list,
    decode_messages,
    encode_unit,
    encoded_list,
    history_units,
)
from o_agent.message_ids import TurnIds, UuidSource, otid_of
from o_agent.prompt_template import PromptTemplate
from o_agent.sdk import tool, when
from o_contracts.ids import is_valid_id
from o_contracts.llm import LlmMessage
from o_contracts.messages import AgentContext, Block, Message, ToolCall, ToolReturn, ToolSpec

pytestmark = pytest.mark.unit


def genome(**params: Any) -> Genome:
    return Genome(params=params, template=PromptTemplate.default())


def agent(**fields: Any) -> AgentContext:
    given_fields: dict[str, Any] = {
        "agent_id": "agent-1",
        "version": 1,
        "name": "n",
        "agent_type": "letta_v1_agent",
        "system": "Be kind.",
        "model": "o/echo",
        "model_settings": {},
        "blocks": [],
        "tools": [],
        "messages": [],
    }
    return AgentContext(**(given_fields | fields))


def user(text: str) -> Message:
    return Message(f"message-{text}", "user_message", 1, text)


def made(kind: Any, step: str, **fields: Any) -> Message:
    return Message(f"message-{kind}-{step}", kind, 1, step_id=step, **fields)


def window(messages: list[Message]) -> list[LlmMessage]:
    return decode_messages([unit.raw for unit in history_units(messages)])


def test_the_messages_of_a_step_are_one_message_to_the_model() -> None:
    call = ToolCall("c1", "look", "{}")
    history = [
        user("hi"),
        made("reasoning_message", "s1", content="hm"),
        made("assistant_message", "s1", content="Looking."),
        made("tool_call_message", "s1", tool_calls=[call]),
        made("tool_return_message", "s1", tool_return=ToolReturn("c1", "success", "seen")),
        made("assistant_message", "s2", content="Done."),
        user("bye"),
    ]
    assert window(history) == [
        LlmMessage("user", "hi"),
        LlmMessage("assistant", "Looking.", [call]),
        LlmMessage("tool", "seen", None, "c1"),
        LlmMessage("assistant", "Done."),
        LlmMessage("user", "bye"),
    ]
    assert [unit.messages for unit in history_units(history)] == [1, 3, 1, 1, 1]


def test_calls_and_returns_without_counterpart_are_left_out() -> None:
    history = [
        made("tool_return_message", "s0", tool_return=ToolReturn("gone", "success", "x")),
        made("tool_call_message", "s1", tool_calls=[ToolCall("never", "look", "{}")]),
        user("hi"),
    ]
    assert window(history) == [LlmMessage("user", "hi")]


def test_what_comes_from_outside_keeps_its_role() -> None:
    history = [
        Message("m1", "system_message", 1, "Be brief."),
        Message("m2", "assistant_message", 1, "As I said."),
        Message("m3", "summary_message", 1, "They met."),
        Message("m4", "event_message", 1, "It rained."),
        Message("m5", "user_message", 1, [{"type": "text", "text": "hi"}], name="ada"),
    ]
    assert [(m.role, m.name) for m in window(history)] == [
        ("system", None),
        ("assistant", None),
        ("user", None),
        ("user", None),
        ("user", "ada"),
    ]
    assert "They met." in str(window(history)[2].content)


def test_a_model_is_shown_texts_and_images_only() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "see"},
        {"type": "image", "source": {"type": "url", "url": "https://o/x.png"}},
        {"type": "image", "source": {"type": "letta", "file_id": "f", "data": "AA"}},
        {"type": "image", "source": {"type": "letta", "file_id": "f"}},
        {"type": "image"},
        {"type": "reasoning", "reasoning": "hm"},
        {},
    ]
    (message,) = window([Message("m1", "user_message", 1, parts)])
    assert message.content == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "https://o/x.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ]


def test_huge_messages_leave_the_window() -> None:
    huge = "x" * (MAX_WINDOW_BYTES // 2)
    compiled = ContextCompiler(genome()).compile(
        agent(messages=[user("first"), user(huge), user(huge), user("last")])
    )
    assert [unit.size_bytes < 1000 for unit in compiled.window.units] == [False, True]
    assert compiled.window.earlier_messages == 2


def test_memory_is_shown_in_the_policys_order() -> None:
    blocks = [
        Block("b1", "zoo", "Z", 10),
        Block("b2", "human", "H", 10, description="who", read_only=True),
        Block("b3", "persona", "P", 10),
    ]
    text = render_memory(blocks, MemoryPolicy())
    assert text.index('"persona"') < text.index('"human"') < text.index('"zoo"')
    assert '<block label="human" characters="1" limit="10" read_only="true">' in text
    assert "<description>who</description>" in text
    plain = render_memory(blocks, MemoryPolicy(show_usage=False, show_descriptions=False))
    assert "characters" not in plain
    assert "who" not in plain


def test_a_turn_carries_the_window_on() -> None:
    compiler = ContextCompiler(genome(history_messages=4))
    first = compiler.compile(agent(messages=[user("1"), user("2"), user("3")], earlier_messages=7))
    assert (first.window.shown, first.window.earlier_messages) == (3, 7)
    units = [encode_unit(LlmMessage("user", "4"), 1), encode_unit(LlmMessage("assistant", "5"), 1)]
    second = compiler.after_turn(first, 2, None, units, 2)
    texts = [m.content for m in decode_messages([u.raw for u in second.window.units])]
    assert texts == ["2", "3", "4", "5"]
    assert second.window.earlier_messages == 8
    assert second.version == 2
    assert first.window.shown == 3
    blocks = [Block("b", "human", "New.", 10)]
    third = compiler.after_turn(second, 3, blocks, [], 0)
    system = decode_messages([system_unit(third.prompt, third.agent, 8).raw])[0].content
    assert "New." in str(system)
    assert "8 earlier messages" in str(system)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=30),
    st.integers(1, 20),
)
def test_a_history_stays_within_its_limit(shape: list[tuple[int, bool]], limit: int) -> None:
    units = [Unit(msgspec.Raw(b"\xc0"), count, 1, is_return) for count, is_return in shape]
    total = sum(count for count, _ in shape)
    history = History([], 0, 0, 0).extended(units, limit, new_messages=total)
    assert history.shown == sum(unit.messages for unit in history.units) <= limit
    assert history.total == total == history.shown + history.earlier_messages
    assert history.size_bytes == len(history.units) * 161
    assert not history.units or not history.units[0].is_return


@given(st.lists(st.lists(st.integers(0, 300), max_size=4), max_size=12), st.integers(1, 8))
def test_a_history_is_the_bytes_of_its_units(turns: list[list[int]], limit: int) -> None:
    history, expected, earlier = History([], 0, 0, 0), list[Unit](), []
    for turn in turns:
        made = [encode_unit(LlmMessage("user", "x" * size), 1, f"m{size}") for size in turn]
        expected = [*expected, *made][-limit:]
        earlier.append((history, history.units))
        beside = history.extended([encode_unit(LlmMessage("user", "no"), 1)], 9, new_messages=1)
        history = history.extended(made, limit, new_messages=len(made))
        assert history.units == expected
        assert len(history) == len(expected)
        assert beside.units[-1] == encode_unit(LlmMessage("user", "no"), 1)
    assert all(former.units == units for former, units in earlier)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 300, 70_000])
def test_a_list_of_encoded_messages_is_one_of_messages(length: int) -> None:
    message = LlmMessage("user", "hi")
    whole = encoded_list(length, [bytes(encode_unit(message, 1).raw) * length])
    assert decode_list(whole) == [message] * length


def test_settings_come_from_the_agent_then_the_genome() -> None:
    compiler = ContextCompiler(genome(temperature=0.3))
    own = agent(model_settings={"temperature": 0.9, "max_output_tokens": 5, "provider_type": "x"})
    assert compiler.compile(own).settings == {"temperature": 0.9, "max_tokens": 5}
    assert compiler.compile(agent()).settings == {"temperature": 0.3}
    assert ContextCompiler(genome()).compile(agent()).settings == {}


@pytest.mark.parametrize(
    ("given_settings", "passed_on"),
    [
        ({"reasoning": {"reasoning_effort": "low"}}, {"reasoning_effort": "low"}),
        ({"effort": "high", "verbosity": "low"}, {"reasoning_effort": "high", "verbosity": "low"}),
        (
            {"thinking_config": {"include_thoughts": True, "thinking_budget": 512}},
            {"thinking": {"type": "enabled", "budget_tokens": 512}},
        ),
        ({"thinking_config": {"include_thoughts": True}}, {"thinking": {"type": "enabled"}}),
        (
            {"thinking_config": {"thinking_budget": 0}},
            {"thinking": {"type": "enabled", "budget_tokens": 0}},
        ),
        ({"thinking_config": {"include_thoughts": False}}, {}),
        (
            {"response_schema": {"type": "json_object"}},
            {"response_format": {"type": "json_object"}},
        ),
    ],
)
def test_settings_that_a_provider_calls_otherwise_are_passed_on(
    given_settings: dict[str, Any], passed_on: dict[str, Any]
) -> None:
    own = agent(model_settings=given_settings)
    assert ContextCompiler(genome()).compile(own).settings == passed_on


def test_an_agents_own_tool_hides_the_genomes() -> None:
    @when(lambda view: view.name == "n")
    @tool
    def look() -> str:
        """Look."""
        return ""

    with_tool = Genome({}, PromptTemplate.default(), tools={"look": look})
    compiler = ContextCompiler(with_tool)
    assert compiler.compile(agent()).toolbox.homes == {"look": "instance"}
    assert compiler.compile(agent(name="other")).toolbox.homes == {}
    spec = ToolSpec("look", "Mine.", {})
    gone = ToolSpec("gone", "Not in this genome.", {}, "instance")
    own = compiler.compile(agent(tools=[spec, gone])).toolbox
    assert own.homes == {"look": "bridge"}
    assert compiler.compile(agent(agent_id="agent-2", tools=[spec])).toolbox is own


def test_the_cache_drops_what_was_used_longest_ago() -> None:
    compiler = ContextCompiler(genome())
    contexts = [compiler.compile(agent(agent_id=f"agent-{n}")) for n in range(3)]
    cache = ContextCache(max_agents=2)
    cache.put(contexts[0])
    cache.put(contexts[1])
    assert cache.get("agent-0") is contexts[0]
    cache.put(contexts[2])
    assert cache.get("agent-1") is None
    assert len(cache) == 2
    assert cache.size_bytes == contexts[0].size_bytes + contexts[2].size_bytes
    older = compiler.compile(agent(agent_id="agent-2", version=0))
    cache.put(older)
    assert cache.get("agent-2") is contexts[2]
    cache.drop("agent-2")
    cache.drop("agent-0")
    assert (len(cache), cache.size_bytes) == (0, 0)
    small = ContextCache(max_bytes=contexts[0].size_bytes)
    small.put(contexts[0])
    small.put(contexts[1])
    assert len(small) == 1


def test_ids_are_stable_by_place() -> None:
    ids = TurnIds(UuidSource())
    first = ids.get("message", "text", 0)
    assert is_valid_id(first, "message")
    assert ids.get("message", "text", 0) == first
    assert ids.get("message", "text", 1) != first
    assert ids.replace("message", "text", 0) != first
    assert otid_of("message-995b4a0f-70bd-477c-8e81-8955961b045d") == (
        "995b4a0f-70bd-477c-8e81-8955961b0400"
    )
    source = UuidSource()
    made = [UUID(source.new()) for _ in range(1000)]
    assert len({one.int & (2**62 - 1) for one in made}) == 1000
    times = [one.int >> 80 for one in made]
    assert times == sorted(times)
    assert {one.version for one in made} == {7}
