"""Docstrings in Google style."""

from __future__ import annotations

import re
import textwrap
from typing import Final

_SECTION: Final = re.compile(r"^(Args|Arguments|Returns|Raises|Yields|Examples?|Notes?):\s*$")
_ARGUMENT: Final = re.compile(r"^(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def split_docstring(text: str) -> tuple[str, dict[str, str]]:
    """A docstring as its description and its arguments' descriptions by name."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in textwrap.dedent(text).splitlines():
        match = _SECTION.match(line)
        if match:
            current = match.group(1)
            sections[current] = []
        else:
            sections[current].append(line)
    lines = sections.get("Args", sections.get("Arguments", []))
    return "\n".join(sections[""]).strip(), _argument_texts(lines)


def _argument_texts(lines: list[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    name = ""
    block = textwrap.dedent("\n".join(lines)).splitlines()
    for line in block:
        match = None if line.startswith((" ", "\t")) else _ARGUMENT.match(line)
        if match:
            name = match.group(1)
            texts[name] = match.group(2).strip()
        elif name and line.strip():
            texts[name] = f"{texts[name]} {line.strip()}".strip()
    return texts
