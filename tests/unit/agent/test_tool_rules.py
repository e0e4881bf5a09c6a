"""What tool rules let a model call next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_agent.tool_rules import Called, ToolRules, parse_rules, render_rules

pytestmark = pytest.mark.unit
TOOLS = frozenset("abcd")


def rules(*given_rules: dict[str, Any]) -> ToolRules:
    return parse_rules(given_rules)


def rule(kind: str, tool: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "tool_name": tool, **fields}


def after(given_rules: ToolRules, *names: str, text: str = "ok", owes: bool = False) -> Any:
    offer = given_rules.offer(TOOLS, [Called(name, text) for name in names], owes=owes)
    names_offered = "".join(sorted(TOOLS if offer.names is None else offer.names))
    return names_offered, offer.must_call


def test_without_rules_everything_may_be_called() -> None:
    assert after(rules()) == ("abcd", False)
    assert after(rules(rule("requires_approval", "a")), "a") == ("abcd", False)


def test_run_first_holds_for_the_first_call_only() -> None:
    first = rules(rule("run_first", "b", args={"x": 1}), rule("run_first", "c"))
    assert after(first) == ("bc", True)
    assert after(first, "b") == ("abcd", False)
    assert first.given_arguments("b", []) == {"x": 1}
    assert first.given_arguments("b", [Called("b", "")]) == {}


def test_children_must_follow_their_parent() -> None:
    nodes = [{"name": "c", "args": {"n": 2}}]
    child = rules(rule("constrain_child_tools", "a", children=["b", "c"], child_arg_nodes=nodes))
    assert after(child) == ("abcd", False)
    assert after(child, "a") == ("bc", True)
    assert after(child, "a", "b") == ("abcd", False)
    assert child.given_arguments("c", [Called("a", "")]) == {"n": 2}
    assert child.given_arguments("b", [Called("a", "")]) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("yes", ("b", True)), ('"yes"', ("b", True)), ("true", ("c", True)), ("no", ("d", True))],
)
def test_a_result_decides_what_follows(text: str, expected: Any) -> None:
    mapping = {"yes": "b", "True": "c"}
    chosen = rules(rule("conditional", "a", child_output_mapping=mapping, default_child="d"))
    assert after(chosen, "a", text=text) == expected


def test_a_result_without_a_mapping() -> None:
    mapping = {"yes": "b"}
    free = rules(rule("conditional", "a", child_output_mapping=mapping))
    assert after(free, "a", text="?") == ("abcd", False)
    strict = rules(
        rule("conditional", "a", child_output_mapping=mapping, require_output_mapping=True)
    )
    offer = strict.offer(TOOLS, [Called("a", "?")])
    assert offer.is_dead_end


def test_children_only_right_after_their_parent() -> None:
    parent = rules(rule("parent_last_tool", "a", children=["b"]))
    assert after(parent) == ("acd", False)
    assert after(parent, "a") == ("abcd", False)
    assert after(parent, "a", "c") == ("acd", False)


def test_a_tool_is_not_offered_beyond_its_limit() -> None:
    limited = rules(rule("max_count_per_step", "a", max_count_limit=2))
    assert after(limited, "a") == ("abcd", False)
    assert after(limited, "a", "b", "a") == ("bcd", False)


def test_what_is_required_before_the_end() -> None:
    required = rules(rule("required_before_exit", "b"), rule("exit_loop", "d"))
    assert required.missing([]) == ["b"]
    assert after(required) == ("abcd", False)
    assert after(required, owes=True) == ("b", True)
    assert not required.ends_with("d", [Called("d", "")])
    assert required.ends_with("d", [Called("b", ""), Called("d", "")])


def test_continue_loop_is_stronger_than_exit_loop() -> None:
    both = rules(rule("exit_loop", "a"), rule("continue_loop", "a"))
    assert not both.ends_with("a", [Called("a", "")])


def test_only_approvals_leave_calls_parallel() -> None:
    assert rules(rule("requires_approval", "a")).allow_parallel
    assert not rules(rule("requires_approval", "a"), rule("continue_loop", "a")).allow_parallel


def test_the_model_is_told_the_rules() -> None:
    told = render_rules(
        rules(
            rule("run_first", "a"),
            rule("constrain_child_tools", "a", children=["b", "c"]),
            rule("max_count_per_step", "b", max_count_limit=1),
            rule("exit_loop", "d"),
        )
    )
    assert "Begin with a." in told
    assert "Right after a, call b or c." in told
    assert "Call b at most 1 times." in told
    assert render_rules(rules(rule("requires_approval", "a"))) == ""


KINDS = st.sampled_from(
    [
        "run_first", "constrain_child_tools", "conditional", "parent_last_tool",
        "max_count_per_step", "required_before_exit", "exit_loop", "continue_loop",
        "requires_approval",
    ]
)  # fmt: skip
NAMES = st.sampled_from("abcdx")
ANY_RULE = st.fixed_dictionaries(
    {"type": KINDS, "tool_name": NAMES},
    optional={
        "children": st.lists(NAMES, max_size=3),
        "child_output_mapping": st.dictionaries(st.text("xy", max_size=2), NAMES, max_size=2),
        "require_output_mapping": st.booleans(),
        "max_count_limit": st.integers(0, 2),
        "args": st.none() | st.dictionaries(st.text("xy", max_size=2), st.integers(), max_size=1),
    },
)


@given(st.lists(ANY_RULE, max_size=6), st.lists(NAMES, max_size=5), st.booleans())
def test_an_offer_never_names_a_tool_that_is_not_there(
    any_rules: list[dict[str, Any]], names: list[str], owes: bool
) -> None:
    parsed = parse_rules(any_rules)
    calls = [Called(name, "") for name in names]
    offer = parsed.offer(TOOLS, calls, owes=owes)
    assert offer.names is None or offer.names <= TOOLS
    for name, limit in parsed.limits.items():
        if names.count(name) >= limit and not parsed.allow_parallel:
            assert not offer.allows(name)
    render_rules(parsed)
