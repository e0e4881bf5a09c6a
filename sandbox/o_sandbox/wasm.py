"""The tier `wasm`: CPython as a WebAssembly component, an interpreter that nobody used per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from o_sandbox.cache import default_folder
from o_sandbox.circumstances import Circumstances
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.engines import Engines, run_request
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import Grants, OnOutput
from o_sandbox.tool import Tool


class WasmSandbox:
    """Runs Python tools in engines that it keeps, or in engines kept by another process."""

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        engines: int = 1,
        paths: Sequence[Path] = (),
    ) -> None:
        """`engines` processes of its own with these settings; or, with `paths`, others' engines."""
        settings = settings or EngineSettings(cache=str(default_folder()))
        self._engines = Engines(settings, engines, paths)

    async def start(self) -> None:
        """Start the engines it keeps; the first time on a machine, compile.

        Raises:
            SandboxUnavailableError: an engine does not start.
        """
        await self._engines.start()

    async def run(
        self,
        tool: Tool,
        args: Mapping[str, Any],
        limits: Limits,
        grants: Grants,
        *,
        on_output: OnOutput | None = None,
        circumstances: Circumstances | None = None,
    ) -> Outcome:
        """Call the tool's function once; see `Sandbox.run`.

        Raises:
            ValueError: the tool is no Python source, or `args` are not JSON-ready.
            SandboxError: the engine failed twice, or after the tool had called the host.
        """
        if tool.language != "python" or not isinstance(tool.code, str):
            raise ValueError(f"the tier `wasm` runs Python source, not {tool.language}")
        request = run_request(tool, args, limits, circumstances or Circumstances.fresh())
        return await self._engines.run(request, grants, on_output)

    async def close(self) -> None:
        """Hang up, and end the engines it keeps."""
        await self._engines.close()
