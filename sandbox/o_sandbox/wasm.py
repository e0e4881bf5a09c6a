"""The tier `wasm`: CPython as a WebAssembly component, an interpreter that nobody used per call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from o_sandbox.cache import default_folder
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.engines import EngineSandbox
from o_sandbox.tool import Tool


class WasmSandbox(EngineSandbox):
    """Runs Python tools in engines that it keeps, or in engines kept by another process."""

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        engines: int = 1,
        paths: Sequence[Path] = (),
    ) -> None:
        """`engines` processes of its own with these settings; or, with `paths`, others' engines."""
        super().__init__(settings or EngineSettings(cache=str(default_folder())), engines, paths)

    def require(self, tool: Tool) -> None:
        """Refuse what is no Python source.

        Raises:
            ValueError: the tool is in another language.
        """
        if tool.language != "python" or not isinstance(tool.code, str):
            raise ValueError(f"the tier `wasm` runs Python source, not {tool.language}")
