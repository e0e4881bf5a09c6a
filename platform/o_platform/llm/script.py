r"""The script of the model `o/scripted`: rules, tried in order; the first that matches replies.

```yaml
rules:
  - name: remember                  # for error messages and logs
    when:                           # all conditions must hold; without `when` a rule always matches
      user: {regex: 'my name is (?P<name>\w+)'}    # last user text; a plain string means contains
      system: "You are"             # system text (contains, ignoring case; or {regex: …})
      tool_result: {contains: ok}   # the conversation ends with a tool's result like this
      tool: core_memory_append      # … of this tool
      offers: [core_memory_append]  # these tools are offered
      turns: 1                      # user messages so far; or {min: 1, max: 3}
      step: 0                       # replies since the last user message; or {min: …, max: …}
    once: true                      # each reply is played once, then the rule matches no more
    reply:                          # or `replies:`, a sequence; its last one repeats
      text: Hello $name             # $group of any regex above, or one of $user $tool_result
      reasoning: The user has a name.               # $system $turn $step; $$ is a dollar sign
      tool_calls:
        - {name: core_memory_append, arguments: {label: human, content: "Name: $name"}}
      delay_ms: 200                 # before the first word
      gap_ms: 10                    # after each word of a streamed reply
      usage: {prompt_tokens: 10, completion_tokens: 5}      # else counted
      finish_reason: stop           # else tool_calls if there are any, else stop
      error: {code: llm_error, message: out of order}       # fail instead of replying
```

A rule with `when` but neither `step`, `tool` nor `tool_result` answers the user, not a tool's
result: its `step` is 0. Sequences are counted per variant, in this process, from the last reading
of the file: a restart begins anew. `arguments` given as text go out as they are, so a script can
also call a tool wrongly.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from string import Template
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from o_contracts.llm import LlmRequest
from o_contracts.messages import Usage
from o_platform.errors import LlmError, SetupError
from o_platform.llm.conversation import Conversation, read_conversation

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, where there is one, takes a tenth of the time; a start reads a script."""
PREDEFINED = frozenset({"user", "system", "tool_result", "turn", "step"})
"""Template names that are there without capturing anything."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextPattern(_Model):
    """A condition on a text: `contains` ignores case, `regex` is searched (dot: any character)."""

    contains: str | None = None
    regex: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"contains": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> TextPattern:
        if (self.contains is None) == (self.regex is None):
            raise ValueError("give either `contains` or `regex`")
        self.groups()
        return self

    def groups(self) -> frozenset[str]:
        """Names that a match captures.

        Raises:
            ValueError: the regex is malformed.
        """
        try:
            return frozenset(re.compile(self.regex or "", re.DOTALL).groupindex)
        except re.error as error:
            raise ValueError(f"regex {self.regex!r} is malformed: {error}") from error

    def captures(self, text: str) -> dict[str, str] | None:
        """The captured groups, or None where `text` does not match."""
        if self.regex is None:
            return {} if str(self.contains).lower() in text.lower() else None
        match = re.search(self.regex, text, re.DOTALL)
        return None if match is None else {k: v or "" for k, v in match.groupdict().items()}


class Span(_Model):
    """A range of numbers, both ends included; a plain number means exactly that one."""

    min: int = 0
    max: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: object) -> object:
        return {"min": value, "max": value} if isinstance(value, int) else value

    def holds(self, number: int) -> bool:
        """Whether `number` lies in the range."""
        return self.min <= number and (self.max is None or number <= self.max)


class When(_Model):
    """The conditions of a rule; all of them must hold."""

    user: TextPattern | None = None
    system: TextPattern | None = None
    tool_result: TextPattern | None = None
    tool: str | None = None
    offers: tuple[str, ...] = ()
    turns: Span | None = None
    step: Span | None = None

    @model_validator(mode="before")
    @classmethod
    def _answer_the_user(cls, value: object) -> object:
        if isinstance(value, dict) and not value.keys() & {"step", "tool", "tool_result"}:
            return value | {"step": 0}
        return value

    def patterns(self) -> list[TextPattern]:
        """The conditions that may capture groups."""
        return [pattern for pattern in (self.user, self.system, self.tool_result) if pattern]

    def captures(self, talk: Conversation) -> dict[str, str] | None:
        """The groups captured from `talk`, or None where a condition does not hold."""
        if not self._counts_hold(talk) or not set(self.offers) <= talk.offers:
            return None
        if self.tool is not None and self.tool != talk.tool:
            return None
        if self.tool_result is not None and not talk.ends_with_tool:
            return None
        found: dict[str, str] = {}
        for pattern, text in self._texts(talk):
            groups = pattern.captures(text)
            if groups is None:
                return None
            found |= groups
        return found

    def _counts_hold(self, talk: Conversation) -> bool:
        turns_hold = self.turns is None or self.turns.holds(talk.turn)
        return turns_hold and (self.step is None or self.step.holds(talk.step))

    def _texts(self, talk: Conversation) -> list[tuple[TextPattern, str]]:
        pairs = [
            (self.user, talk.user),
            (self.system, talk.system),
            (self.tool_result, talk.tool_result),
        ]
        return [(pattern, text) for pattern, text in pairs if pattern is not None]


class ScriptedCall(_Model):
    """A tool call of a reply; `arguments` are filled in and written as JSON, or text as it is."""

    name: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)


class ScriptedUsage(_Model):
    """Token counts that a reply claims."""

    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)
    cached_input_tokens: int = Field(0, ge=0)
    reasoning_tokens: int = Field(0, ge=0)

    def usage(self) -> Usage:
        """As it travels."""
        return Usage(**self.model_dump())


class ScriptedError(_Model):
    """A failure in the place of a reply."""

    code: Literal[
        "llm_error", "llm_timeout", "llm_bad_request", "llm_rate_limited", "llm_context_overflow"
    ] = "llm_error"
    message: str = "the script says that this call fails"


class Reply(_Model):
    """One line of the script, with its templates not filled in yet."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    delay_ms: float = Field(0, ge=0, le=600_000)
    gap_ms: float = Field(0, ge=0, le=60_000)
    usage: ScriptedUsage | None = None
    finish_reason: Literal["stop", "tool_calls", "length", "content_filter"] | None = None
    error: ScriptedError | None = None

    @property
    def takes_time(self) -> bool:
        """Whether it must be waited for."""
        return self.delay_ms > 0

    def templates(self) -> list[str]:
        """Every text in it that may name captured groups."""
        found = [self.text, self.reasoning]
        for call in self.tool_calls:
            found += (
                [call.arguments] if isinstance(call.arguments, str) else _texts_in(call.arguments)
            )
        return found


class Rule(_Model):
    """When it matches, and what it replies."""

    name: str = ""
    when: When | None = None
    once: bool = False
    replies: tuple[Reply, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_single(cls, value: object) -> object:
        if not isinstance(value, dict) or "reply" not in value:
            return value
        if "replies" in value:
            raise ValueError("give either `reply` or `replies`")
        rest = {key: item for key, item in value.items() if key != "reply"}
        return rest | {"replies": [value["reply"]]}

    @model_validator(mode="after")
    def _check_templates(self) -> Rule:
        patterns = self.when.patterns() if self.when else []
        known = PREDEFINED.union(*(pattern.groups() for pattern in patterns))
        for text in (text for reply in self.replies for text in reply.templates()):
            _check_template(text, known)
        return self

    def captures(self, talk: Conversation) -> dict[str, str] | None:
        """The groups captured from `talk`, or None where the rule does not match."""
        return {} if self.when is None else self.when.captures(talk)


class ScriptFile(_Model):
    """The whole file."""

    rules: tuple[Rule, ...] = Field(min_length=1)

    @field_validator("rules", mode="before")
    @classmethod
    def _name_rules(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        return [{"name": f"rule {n}"} | rule if isinstance(rule, dict) else rule
                for n, rule in enumerate(value, start=1)]  # fmt: skip


class Match(NamedTuple):
    """The rule that answers a request, its reply, and the values of the reply's templates."""

    rule: int
    reply: Reply
    values: dict[str, str]


class Script:
    """A script in play: the rules, and how often each has replied, by variant."""

    def __init__(self, file: ScriptFile) -> None:
        """Nothing has been played yet."""
        self._rules = file.rules
        self._played: Counter[tuple[int, str]] = Counter()

    def match(self, request: LlmRequest) -> Match:
        """What comes next for `request`; the same again until it is `spend`-ed.

        Raises:
            LlmError: no rule matches.
        """
        talk = read_conversation(request)
        for number, rule in enumerate(self._rules):
            played = self._played[number, request.variant]
            if rule.once and played >= len(rule.replies):
                continue
            groups = rule.captures(talk)
            if groups is not None:
                reply = rule.replies[min(played, len(rule.replies) - 1)]
                return Match(number, reply, talk.values() | groups)
        raise LlmError(
            "no rule of the script matches this conversation; add one without `when` at its end",
            last_user_text=talk.user[:200],
        )

    def spend(self, match: Match, request: LlmRequest) -> None:
        """Count the reply as played, so that the rule's sequence moves on."""
        self._played[match.rule, request.variant] += 1


def load_script(path: Path) -> Script:
    """Read and check the script at `path`.

    Raises:
        SetupError: it is missing or malformed; the message names the rule and the field.
    """
    hint = "mend the file, or unset O_SCRIPTED_MODEL to use the one of the package"
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 — both are safe
        return Script(ScriptFile.model_validate(raw))
    except OSError as error:
        raise SetupError(f"cannot read the script {path}: {error.strerror}; {hint}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SetupError(f"the script {path} is not YAML: {error}; {hint}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SetupError(
            f"the script {path} is wrong at {place}: {first['msg']}; {hint}"
        ) from error


def _check_template(text: str, known: frozenset[str]) -> None:
    template = Template(text)
    if not template.is_valid():
        raise ValueError(f"{text[:60]!r} has a lone dollar sign; write $$ for one")
    unknown = set(template.get_identifiers()) - known
    if unknown:
        raise ValueError(
            f"nothing captures ${sorted(unknown)[0]}; it can be one of {', '.join(sorted(known))}"
        )


def _texts_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts_in(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts_in(item)]
    return []
