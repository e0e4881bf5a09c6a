"""A tool as a sandbox takes it: code, the function to call, and the tier it wants."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

Tier = Literal["wasm", "module", "restricted", "container"]
Language = Literal["python", "wasm", "wat", "component", "javascript"]


BINARY: Final[frozenset[Language]] = frozenset({"wasm", "component"})
"""Languages that come as bytes; a component may be text, too."""


def code_of(text: str, language: Language) -> str | bytes:
    """Code that was kept as text: binaries are in base64.

    Raises:
        ValueError: it is neither base64 nor, for a component, text.
    """
    if language not in BINARY or (language == "component" and text.lstrip().startswith("(")):
        return text
    return base64.b64decode(text, validate=True)


class Tool(Struct, frozen=True):
    """Code with one function that is called with JSON arguments.

    `code` is source text, or bytes of a `.wasm` file. `function` is the name that is called.
    `language` other than `python` needs the tier `module`.
    """

    name: str
    code: str | bytes
    function: str = ""
    language: Language = "python"
    tier: Tier = "wasm"

    @property
    def entry(self) -> str:
        """The function that is called: `function`, or the tool's own name."""
        return self.function or self.name


def arguments_text(args: Mapping[str, Any]) -> str:
    """A call's arguments as they go over the wire.

    Raises:
        ValueError: they are not JSON-ready.
    """
    try:
        return msgspec.json.encode(dict(args)).decode()
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise ValueError(f"arguments of a tool must be JSON-ready: {error}") from error
