"""Tool rules: what the model may call next, as pure functions of the rules and the calls so far.

The calls are those of one turn that were run, whether they succeeded or not; a turn that goes on
after an approval goes on with its calls, too. The rules, by the API's names:

| type | effect |
|---|---|
| `run_first` | the first call must be one of these tools |
| `constrain_child_tools` | right after the tool, one of its children must be called |
| `conditional` | right after the tool, its result says which one must be called |
| `parent_last_tool` | the children may be called right after the tool only |
| `max_count_per_step` | the tool may be called this often in a turn |
| `required_before_exit` | the turn must not end before the tool was called |
| `exit_loop` | the turn ends with the tool's success |
| `continue_loop` | the turn does not end with the tool, whatever else says so |
| `requires_approval` | the tool runs once the client has approved the call |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

Arguments = Mapping[str, Any]
NO_ARGUMENTS: Final[Arguments] = {}


class Called(NamedTuple):
    """A call of this turn that was run, and the text it returned."""

    name: str
    text: str


class Offer(NamedTuple):
    """What the model is offered for one step.

    `names` are the tools it may call (None: all of them); `must_call` says that a reply without a
    call would break a rule.
    """

    names: frozenset[str] | None = None
    must_call: bool = False

    def allows(self, name: str) -> bool:
        """Whether this tool may be called."""
        return self.names is None or name in self.names

    @property
    def is_dead_end(self) -> bool:
        """Whether a call is demanded, and no tool is left that may be called."""
        return self.must_call and self.names is not None and not self.names


ANYTHING: Final = Offer()


@dataclass(frozen=True, slots=True)
class Condition:
    """What follows a tool by its result; `strict`: a result that is not mapped allows nothing."""

    mapping: Mapping[str, str]
    default: str | None = None
    strict: bool = False

    def following(self, text: str) -> frozenset[str] | None:
        """The tools that may follow this result; None: any."""
        child = self.mapping.get(text.strip())
        if child is None:
            child = self.mapping.get(_plain(text), self.default)
        if child is not None:
            return frozenset((child,))
        return frozenset() if self.strict else None


@dataclass(frozen=True, slots=True)
class ToolRules:
    """The rules of one agent, read once."""

    first: Mapping[str, Arguments] = field(default_factory=dict)
    """Tools that may come first, with the arguments that are given to them."""
    children: Mapping[str, Mapping[str, Arguments]] = field(default_factory=dict)
    """By parent: its children, with the arguments that are given to them."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    parents: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By child: the tools right after which it may be called."""
    limits: Mapping[str, int] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    exits: frozenset[str] = frozenset()
    continues: frozenset[str] = frozenset()
    gated: frozenset[str] = frozenset()
    """Tools whose calls must be approved."""
    allow_parallel: bool = True
    """Whether the model may call several tools at once: no rule but `requires_approval` exists."""

    def offer(self, names: Iterable[str], calls: Sequence[Called], *, owes: bool = False) -> Offer:
        """What may be called after `calls`; `owes`: the model wanted to end too early."""
        if self.allow_parallel:
            return ANYTHING
        allowed = frozenset(names) - self._excluded(calls)
        if not calls:
            first = allowed.intersection(self.first)
            if first:
                return Offer(first, True)
        following = self._following(calls[-1]) if calls else None
        if following is not None:
            return Offer(allowed & following, True)
        owed = allowed & frozenset(self.missing(calls))
        return Offer(owed, True) if owes and owed else Offer(allowed)

    def missing(self, calls: Sequence[Called]) -> list[str]:
        """Tools that must still be called before the turn may end."""
        called = {call.name for call in calls}
        return [name for name in self.required if name not in called]

    def ends_with(self, name: str, calls: Sequence[Called]) -> bool:
        """Whether the success of this tool, the last of `calls`, ends the turn."""
        return name in self.exits and name not in self.continues and not self.missing(calls)

    def given_arguments(self, name: str, calls: Sequence[Called]) -> Arguments:
        """Arguments that the rules give to the next call, over those of the model."""
        if not calls:
            return self.first.get(name, NO_ARGUMENTS)
        return self.children.get(calls[-1].name, {}).get(name, NO_ARGUMENTS)

    def _excluded(self, calls: Sequence[Called]) -> frozenset[str]:
        last = calls[-1].name if calls else None
        orphans = {child for child, parents in self.parents.items() if last not in parents}
        counts = [call.name for call in calls]
        spent = {name for name, limit in self.limits.items() if counts.count(name) >= limit}
        return frozenset(orphans | spent)

    def _following(self, last: Called) -> frozenset[str] | None:
        children = self.children.get(last.name)
        condition = self.conditions.get(last.name)
        chosen = condition.following(last.text) if condition is not None else None
        if children is None:
            return chosen
        return frozenset(children) if chosen is None else frozenset(children) & chosen


def parse_rules(rules: Sequence[Mapping[str, Any]]) -> ToolRules:
    """The rules of an agent as the API stores them; what has no sense is left out."""
    return ToolRules(
        first={r["tool_name"]: _arguments(r.get("args")) for r in _of(rules, "run_first")},
        children={r["tool_name"]: _children(r) for r in _of(rules, "constrain_child_tools")},
        conditions={r["tool_name"]: _condition(r) for r in _of(rules, "conditional")},
        parents=_parents(_of(rules, "parent_last_tool")),
        limits={
            r["tool_name"]: int(r.get("max_count_limit") or 0)
            for r in _of(rules, "max_count_per_step")
        },
        required=tuple(dict.fromkeys(r["tool_name"] for r in _of(rules, "required_before_exit"))),
        exits=_named(rules, "exit_loop"),
        continues=_named(rules, "continue_loop"),
        gated=_named(rules, "requires_approval"),
        allow_parallel=all(rule.get("type") == "requires_approval" for rule in rules),
    )


def render_rules(rules: ToolRules) -> str:
    """What the model is told of the rules; empty if there is nothing to tell."""
    lines = _sentences(rules)
    if not lines:
        return ""
    listed = "\n".join(f"- {line}" for line in lines)
    return f"<tool_usage_rules>\n{listed}\n</tool_usage_rules>"


def _sentences(rules: ToolRules) -> list[str]:
    lines = [f"Begin with {_list(rules.first, 'or')}."] if rules.first else []
    lines += [f"Right after {p}, call {_list(c, 'or')}." for p, c in rules.children.items()]
    lines += [
        f"Right after {tool}, its result decides which tool is to be called."
        for tool in rules.conditions
    ]
    lines += [f"Call {c} right after {_list(p, 'or')} only." for c, p in rules.parents.items()]
    lines += [f"Call {name} at most {n} times." for name, n in rules.limits.items()]
    if rules.required:
        lines.append(f"Do not finish before you have called {_list(rules.required, 'and')}.")
    if rules.exits:
        lines.append(f"Your work ends with a call of {_list(rules.exits, 'or')}.")
    return lines


def _list(names: Iterable[str], word: str) -> str:
    ordered = list(names)
    if len(ordered) < 2:
        return "".join(ordered)
    return f"{', '.join(ordered[:-1])} {word} {ordered[-1]}"


def _of(rules: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [rule for rule in rules if rule.get("type") == kind and rule.get("tool_name")]


def _named(rules: Sequence[Mapping[str, Any]], kind: str) -> frozenset[str]:
    return frozenset(str(rule["tool_name"]) for rule in _of(rules, kind))


def _arguments(value: Any) -> Arguments:
    return value if isinstance(value, dict) else NO_ARGUMENTS


def _children(rule: Mapping[str, Any]) -> dict[str, Arguments]:
    given = {
        node.get("name"): _arguments(node.get("args"))
        for node in rule.get("child_arg_nodes") or ()
        if isinstance(node, dict)
    }
    names = [name for name in rule.get("children") or () if isinstance(name, str)]
    return {name: given.get(name, NO_ARGUMENTS) for name in names}


def _condition(rule: Mapping[str, Any]) -> Condition:
    mapping = rule.get("child_output_mapping")
    shown = {str(k): str(v) for k, v in mapping.items()} if isinstance(mapping, dict) else {}
    default = rule.get("default_child")
    strict = rule.get("require_output_mapping") is True
    return Condition(shown, str(default) if default else None, strict)


def _parents(rules: Sequence[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    parents: dict[str, frozenset[str]] = {}
    for rule in rules:
        for child in rule.get("children") or ():
            parents[child] = parents.get(child, frozenset()) | {rule["tool_name"]}
    return parents


def _plain(text: str) -> str:
    """A result that is JSON text as the API's users write it: `"yes"` is yes, `true` is True."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text.strip()
    return value if isinstance(value, str) else str(value)
