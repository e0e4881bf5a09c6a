"""`prompts/system.md`: text around `{{ system }}`, `{{ memory }}` and `{{ metadata }}`.

`system` is the agent's own system prompt, `memory` its blocks, `metadata` the lines that change
from turn to turn. Keep `metadata` last: providers cache the unchanged beginning of a prompt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_REQUIRED = ("system", "memory")
_KNOWN = (*_REQUIRED, "metadata")
_DEFAULT = "{{ system }}\n\n{{ memory }}\n\n{{ metadata }}"


class TemplateError(Exception):
    """A placeholder is unknown, missing or repeated."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A system prompt that lacks only its metadata."""

    before: str
    after: str
    has_metadata: bool

    def complete(self, metadata: str) -> str:
        """The whole prompt."""
        if not self.has_metadata:
            return self.before
        return f"{self.before}{metadata}{self.after}"


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """The template cut at its placeholders: text, name, text, name, …, text."""

    parts: tuple[str, ...]

    @classmethod
    def default(cls) -> PromptTemplate:
        """System prompt, memory and metadata, nothing around them."""
        return cls.parse(_DEFAULT)

    @classmethod
    def parse(cls, text: str) -> PromptTemplate:
        """Cut a template at its placeholders.

        Raises:
            TemplateError: `{{ system }}` or `{{ memory }}` is missing, one is repeated or unknown.
        """
        parts = tuple(_PLACEHOLDER.split(text.strip()))
        names = parts[1::2]
        for name in names:
            if name not in _KNOWN:
                raise TemplateError(f"unknown placeholder {name!r}; use {', '.join(_KNOWN)}")
            if names.count(name) > 1:
                raise TemplateError(f"placeholder {name!r} is used more than once")
        for name in _REQUIRED:
            if name not in names:
                raise TemplateError(f"placeholder '{{{{ {name} }}}}' is missing")
        return cls(parts)

    def render(self, system: str, memory: str) -> RenderedPrompt:
        """Fill in everything but the metadata."""
        values = {"system": system, "memory": memory}
        before: list[str] = []
        after: list[str] = []
        target = before
        for index, part in enumerate(self.parts):
            if index % 2 and part == "metadata":
                target = after
            else:
                target.append(values[part] if index % 2 else part)
        return RenderedPrompt("".join(before), "".join(after), target is after)
