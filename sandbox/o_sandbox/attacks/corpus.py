"""Reads the payloads: files of cells, a folder a group.

A cell begins with a header in the comment syntax of its language, as in notebooks kept as scripts:

    # %% name -> file, marker [wall=0.4 cpu=0.2 memory=64 tiers=wasm]
    # What it tries, in a sentence.
    def attack(t): ...

After `->` come the detectors that must fire in the control run. Brackets hold what differs from the
group's defaults: seconds of wall time and CPU, MiB of memory, tiers. The suffix of the file is its
language: `.payloads` is Python, `.hex` a binary module, `.component` one in text.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from o_sandbox.attacks.attack import Attack, Detector, Group
from o_sandbox.limits import Limits
from o_sandbox.tool import Language, Tier

PYTHON_TIERS: frozenset[Tier] = frozenset({"restricted", "wasm", "container"})
MODULE_TIERS: frozenset[Tier] = frozenset({"module"})

_MIB = 1024 * 1024
_SCRATCH_BYTES = _MIB


def _bounds(wall_s: float, cpu_s: float, memory_mib: int) -> Limits:
    return Limits(
        wall_s=wall_s, cpu_s=cpu_s, memory_bytes=memory_mib * _MIB, output_bytes=64 * 1024,
        host_calls=20, scratch_bytes=_SCRATCH_BYTES,
    )  # fmt: skip


_USUAL = _bounds(1.0, 0.5, 96)
_TIGHT = _bounds(0.4, 0.2, 64)
_PATIENT = _bounds(1.5, 1.0, 64)
"""For families that need some time to reach what they are after."""
_BUDGETS = {"memory": _PATIENT}
_LANGUAGES: dict[str, Language] = {
    "payloads": "python",
    "wat": "wat",
    "js": "javascript",
    "hex": "wasm",
    "component": "component",
}
_HEADER = re.compile(
    r"^(?P<comment>#|;;|//) %% (?P<name>[a-z0-9_-]+)(?: -> (?P<fires>[a-z, ]+?))?"
    r"(?: \[(?P<options>[^\]]*)\])?$"
)


class CorpusError(Exception):
    """A payload file breaks the format; names the file and the line."""


@cache
def load() -> tuple[Attack, ...]:
    """Every payload, in a fixed order.

    Raises:
        CorpusError: a file breaks the format, or two payloads have one id.
    """
    root = files("o_sandbox.attacks") / "payloads"
    attacks = tuple(
        attack
        for folder in sorted(root.iterdir(), key=lambda each: each.name)
        for file in sorted(folder.iterdir(), key=lambda each: each.name)
        for attack in parse(file.name, Group(folder.name), _text(file))
    )
    ids = [attack.id for attack in attacks]
    if double := {each for each in ids if ids.count(each) > 1}:
        raise CorpusError(f"several payloads are called {sorted(double)}; names are unique")
    return attacks


def stratified(attacks: Sequence[Attack], every: int, seed: int = 0) -> tuple[Attack, ...]:
    """One in `every` of each family, at least one, drawn by `seed`; in their order."""
    families: dict[str, list[Attack]] = {}
    for attack in attacks:
        families.setdefault(attack.family, []).append(attack)
    kept: set[str] = set()
    for family, members in families.items():
        draw = random.Random(f"{seed} {family}")  # noqa: S311 — the same every time, on purpose
        kept |= {each.id for each in draw.sample(members, math.ceil(len(members) / every))}
    return tuple(attack for attack in attacks if attack.id in kept)


def parse(file_name: str, group: Group, text: str) -> Iterator[Attack]:
    """The payloads of one file.

    Raises:
        CorpusError: the suffix, a header or an option is unknown.
    """
    family, _, suffix = file_name.partition(".")
    if suffix not in _LANGUAGES:
        raise CorpusError(f"{file_name}: the suffix is not one of {', '.join(_LANGUAGES)}")
    for line, header, body in _cells(file_name, text):
        try:
            yield _attack(family, group, _LANGUAGES[suffix], header, body)
        except (KeyError, ValueError) as error:
            raise CorpusError(f"{file_name}:{line}: {error}") from error


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")


def _cells(file_name: str, text: str) -> Iterator[tuple[int, re.Match[str], list[str]]]:
    starts = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if " %% " in line[:6]:
            match = _HEADER.match(line)
            if match is None:
                raise CorpusError(f"{file_name}:{number + 1}: not a header: {line!r}")
            starts.append((number, match))
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    for (number, match), end in zip(starts, ends, strict=True):
        yield number + 1, match, lines[number + 1 : end]


def _attack(
    family: str, group: Group, language: Language, header: re.Match[str], body: list[str]
) -> Attack:
    mark = header["comment"]
    if not body or not body[0].startswith(mark + " "):
        raise ValueError("the line after the header says what the payload tries")
    code = "\n".join(body[1:]).strip("\n") + "\n"
    fires = [word.strip() for word in (header["fires"] or "").split(",") if word.strip()]
    options = dict(each.split("=") for each in (header["options"] or "").split())
    return Attack(
        id=f"{family}/{header['name']}",
        group=group,
        tries=body[0].removeprefix(mark).strip(),
        code=bytes.fromhex("".join(code.split())) if language == "wasm" else code,
        tiers=_tiers(options, language),
        fires=frozenset(Detector(word) for word in fires),
        limits=_limits(options, _budget(family, group)),
        language=language,
    )


def _budget(family: str, group: Group) -> Limits:
    return _BUDGETS.get(family, _TIGHT if group is Group.RESOURCES else _USUAL)


def _tiers(options: dict[str, str], language: Language) -> frozenset[Tier]:
    every = PYTHON_TIERS if language == "python" else MODULE_TIERS
    if "tiers" not in options:
        return every
    named = options.pop("tiers").split(",")
    if unknown := set(named) - every:
        raise ValueError(f"{sorted(unknown)} are no tiers of {language}")
    return frozenset(tier for tier in every if tier in named)


def _limits(options: dict[str, str], usual: Limits) -> Limits:
    limits = _bounds(
        float(options.pop("wall", usual.wall_s)),
        float(options.pop("cpu", usual.cpu_s)),
        int(options.pop("memory", usual.memory_bytes // _MIB)),
    )
    if options:
        raise ValueError(f"unknown options {sorted(options)}")
    return limits
