"""The tier `wasm`: CPython as a WebAssembly component, an interpreter that nobody used per call."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from o_sandbox.cache import default_folder
from o_sandbox.client import EngineClient, EngineGoneError, EngineHungError, arguments_text
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import Grants, OnOutput, SandboxError
from o_sandbox.tool import Tool
from o_sandbox.wire import Run


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
        self._keepers = [] if paths else [EngineKeeper(settings) for _ in range(engines)]
        sockets = list(paths) or [keeper.path for keeper in self._keepers]
        self._clients = [EngineClient(path, settings.calls) for path in sockets]

    async def start(self) -> None:
        """Start the engines it keeps; the first time on a machine, compile.

        Raises:
            SandboxUnavailableError: an engine does not start.
        """
        for keeper in self._keepers:
            await asyncio.to_thread(keeper.ensure)

    async def run(
        self,
        tool: Tool,
        args: Mapping[str, Any],
        limits: Limits,
        grants: Grants,
        *,
        on_output: OnOutput | None = None,
    ) -> Outcome:
        """Call the tool's function once; see `Sandbox.run`.

        Raises:
            ValueError: the tool is no Python source, or `args` are not JSON-ready.
            SandboxError: the engine failed twice, or after the tool had called the host.
        """
        request = _request(tool, args, limits)
        for attempt in range(2):
            number = self._least_busy()
            try:
                return await self._clients[number].run(request, grants, on_output)
            except EngineHungError:
                await self._replace(number)
                raise
            except EngineGoneError as error:
                await self._replace(number)
                if attempt or not error.is_repeatable:
                    raise
        raise SandboxError("unreachable")

    async def close(self) -> None:
        """Hang up, and end the engines it keeps."""
        for client in self._clients:
            client.close()
        for keeper in self._keepers:
            await asyncio.to_thread(keeper.close)

    def _least_busy(self) -> int:
        return min(range(len(self._clients)), key=lambda number: self._clients[number].active)

    async def _replace(self, number: int) -> None:
        if self._keepers:
            await asyncio.to_thread(self._keepers[number].ensure)


def _request(tool: Tool, args: Mapping[str, Any], limits: Limits) -> Run:
    if tool.language != "python" or not isinstance(tool.code, str):
        raise ValueError(f"the tier `wasm` runs Python source, not {tool.language}")
    return Run(
        name=tool.name,
        language=tool.language,
        code=tool.code.encode(),
        function=tool.entry,
        arguments=arguments_text(args),
        limits=limits,
        seed=secrets.token_bytes(32),
        now_ns=time.time_ns(),
    )
