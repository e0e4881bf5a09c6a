"""The tier `module`: WebAssembly of any language, and JavaScript.

| language | what it is |
|---|---|
| `wasm`, `wat` | a core module with the JSON ABI of `o_sandbox.engine.abi`, binary or text |
| `component` | a component; its WIT says what arguments it takes |
| `javascript` | source; its function is called with one object |

The engine compiles what it is given, so it is another process than the one of the tier `wasm`,
which may not make code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from o_sandbox.cache import default_folder
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.engines import EngineSandbox
from o_sandbox.tool import Tool

MAX_CODE_BYTES: Final = 8 * 1024 * 1024
"""Compiling takes some seconds for so much."""
_RESIDENT_BYTES: Final = 256 * 1024
"""What each place for an instance keeps for good; with more, no call was faster."""


def module_settings() -> EngineSettings:
    """An engine of this tier."""
    return EngineSettings(
        cache=str(default_folder()), guests="modules", idle=0, resident_bytes=_RESIDENT_BYTES
    )


class ModuleSandbox(EngineSandbox):
    """Runs foreign code in engines that it keeps, or in engines kept by another process."""

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        engines: int = 1,
        paths: Sequence[Path] = (),
    ) -> None:
        """`engines` processes of its own with these settings; or, with `paths`, others' engines."""
        super().__init__(settings or module_settings(), engines, paths)

    def require(self, tool: Tool) -> None:
        """Refuse Python, and what would take too long to compile.

        Raises:
            ValueError: the tool is Python, or too large.
        """
        if tool.language == "python":
            raise ValueError("the tier `module` runs no Python; use `wasm`")
        if len(tool.code) > MAX_CODE_BYTES:
            raise ValueError(f"the tool has {len(tool.code)} bytes; {MAX_CODE_BYTES} are the most")
