"""A tool as a sandbox takes it: code, the function to call, and the tier it wants."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Tier = Literal["wasm", "module", "restricted", "container"]
Language = Literal["python", "wasm", "wat", "component", "javascript"]


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
