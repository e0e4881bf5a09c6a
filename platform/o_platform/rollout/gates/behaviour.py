"""The behaviour suite of a genome, `tests/behaviour.toml`: what its answers must and must not be.

```toml
[[case]]
name = "says what it was told"
say = "hello"                 # one message, or a list of them: turns with the same agent
reply = "echo: hello"         # the whole last reply, to the letter
contains = ["hello"]          # each occurs in the last reply
forbids = ["PATH="]           # none occurs anywhere in any answer
model = "o/echo"              # absent: the agent's own model
```
A case needs a `name`, `say`, and at least one expectation.
"""

from __future__ import annotations

import tomllib
from typing import Final

import msgspec

SUITE_FILE: Final = "tests/behaviour.toml"
MAX_CASES: Final = 200
MAX_TURNS: Final = 20


class BehaviourError(Exception):
    """The suite is malformed; the message says where."""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One conversation and what is expected of it."""

    name: str
    say: str | list[str]
    reply: str | None = None
    contains: list[str] = []
    forbids: list[str] = []
    model: str | None = None

    @property
    def turns(self) -> list[str]:
        """What is said, one text a turn."""
        return [self.say] if isinstance(self.say, str) else self.say

    def problem(self, last_reply: str, answers: str) -> str | None:
        """What is wrong with the agent's behaviour, if anything.

        Args:
            last_reply: text of the last turn's assistant messages.
            answers: whole response bodies of all turns.
        """
        if self.reply is not None and last_reply != self.reply:
            return f"replied {_short(last_reply)}, expected exactly {_short(self.reply)}"
        for text in self.contains:
            if text not in last_reply:
                return f"replied {_short(last_reply)}, which lacks {_short(text)}"
        for text in self.forbids:
            if text in answers:
                return f"an answer holds {_short(text)}, which is forbidden"
        return None


class _Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    case: list[Case] = []


def parse_suite(data: bytes) -> list[Case]:
    """The cases of a suite; an empty file has none.

    Raises:
        BehaviourError: not TOML, an unknown or missing key, a doubled name, or a case without
            expectations.
    """
    try:
        suite = msgspec.convert(tomllib.loads(data.decode()), _Suite)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BehaviourError(f"{SUITE_FILE}: {error}") from error
    if len(suite.case) > MAX_CASES:
        raise BehaviourError(f"{SUITE_FILE}: more than {MAX_CASES} cases")
    seen: set[str] = set()
    for case in suite.case:
        _check(case, seen)
    return suite.case


def _check(case: Case, seen: set[str]) -> None:
    where = f"{SUITE_FILE}: case {case.name!r}"
    if case.name in seen:
        raise BehaviourError(f"{where} is there twice; give each its own name")
    seen.add(case.name)
    if not 1 <= len(case.turns) <= MAX_TURNS or not all(case.turns):
        raise BehaviourError(f"{where}: `say` holds 1 … {MAX_TURNS} texts, none empty")
    if case.reply is None and not case.contains and not case.forbids:
        raise BehaviourError(f"{where} expects nothing; give `reply`, `contains` or `forbids`")


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:117]}…")
