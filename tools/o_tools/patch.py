"""Applies a minimal unified patch to a text: context, `-` and `+` lines, `@@` between hunks.

Line numbers in hunk headers are ignored, as models count badly: a hunk applies where its context
and removed lines stand, which must be exactly one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from o_tools.errors import ToolError


@dataclass(slots=True)
class _Hunk:
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def apply_patch(text: str, patch: str) -> str:
    """`text` with every hunk of `patch` applied, in order.

    Raises:
        ToolError: the patch has no change, a line of it has no marker, or a hunk matches nowhere
            or in several places.
    """
    hunks = _parse(patch)
    if not hunks:
        raise ToolError("the patch changes nothing; mark added lines with + and removed with -")
    lines = text.split("\n") if text else []
    for number, hunk in enumerate(hunks, 1):
        at = _place_of(hunk, lines, number)
        lines[at : at + len(hunk.before)] = hunk.after
    return "\n".join(lines)


def _parse(patch: str) -> list[_Hunk]:
    hunks = [_Hunk()]
    for line in patch.strip("\n").split("\n"):
        if line.startswith(("---", "+++", "*** ", "\\ ")):
            continue
        if line.startswith("@@"):
            hunks.append(_Hunk())
            continue
        _add_line(hunks[-1], line)
    return [hunk for hunk in hunks if hunk.before != hunk.after]


def _add_line(hunk: _Hunk, line: str) -> None:
    marker, rest = line[:1], line[1:]
    if marker not in {"", " ", "-", "+"}:
        raise ToolError(f"line {line!r} of the patch does not start with a space, - or +")
    if marker != "+":
        hunk.before.append(rest)
    if marker != "-":
        hunk.after.append(rest)


def _place_of(hunk: _Hunk, lines: list[str], number: int) -> int:
    size = len(hunk.before)
    if size == 0:
        return len(lines)
    places = [at for at in range(len(lines) - size + 1) if lines[at : at + size] == hunk.before]
    if len(places) != 1:
        found = "nowhere" if not places else f"in {len(places)} places"
        raise ToolError(f"hunk {number} of the patch matches {found}; give exact context lines")
    return places[0]
