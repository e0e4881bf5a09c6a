"""Calls of tools in engines: some that are kept here, or others' that are reached by path."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from o_sandbox.circumstances import Circumstances
from o_sandbox.client import EngineClient, EngineGoneError, EngineHungError
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import SCRATCH, Grants, OnOutput, SandboxError
from o_sandbox.tool import Tool, arguments_text
from o_sandbox.wire import Run


class Engines:
    """Engines of one kind, and the calls they run."""

    def __init__(self, settings: EngineSettings, count: int, paths: Sequence[Path]) -> None:
        """`count` processes of its own; or, with `paths`, engines that others keep."""
        self._keepers = [] if paths else [EngineKeeper(settings) for _ in range(count)]
        sockets = list(paths) or [keeper.path for keeper in self._keepers]
        self._clients = [EngineClient(path, settings.calls) for path in sockets]

    async def start(self) -> None:
        """Start the engines that are kept here; the first time on a machine, compile.

        Raises:
            SandboxUnavailableError: an engine does not start.
        """
        for keeper in self._keepers:
            await asyncio.to_thread(keeper.ensure)

    async def run(self, request: Run, grants: Grants, on_output: OnOutput | None) -> Outcome:
        """Make one call, again if the engine went away before anything had happened outside.

        Raises:
            SandboxError: the engine failed twice, or after the tool had called the host.
        """
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
        """Hang up, and end the engines that are kept here."""
        for client in self._clients:
            client.close()
        for keeper in self._keepers:
            await asyncio.to_thread(keeper.close)

    def _least_busy(self) -> int:
        if len(self._clients) == 1:
            return 0
        return min(range(len(self._clients)), key=lambda number: self._clients[number].active)

    async def _replace(self, number: int) -> None:
        if self._keepers:
            await asyncio.to_thread(self._keepers[number].ensure)


class EngineSandbox(ABC):
    """What the tiers that run in engines have in common; see `Sandbox`."""

    def __init__(self, settings: EngineSettings, engines: int, paths: Sequence[Path]) -> None:
        """`engines` processes of its own with these settings; or, with `paths`, others' engines."""
        self._engines = Engines(settings, engines, paths)

    @abstractmethod
    def require(self, tool: Tool) -> None:
        """Refuse a tool that this tier does not run.

        Raises:
            ValueError: says why.
        """

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
            ValueError: this tier does not run the tool, or `args` are not JSON-ready.
            SandboxError: the engine failed twice, or after the tool had called the host.
        """
        self.require(tool)
        request = run_request(tool, args, limits, circumstances or Circumstances.fresh(), grants)
        return await self._engines.run(request, grants, on_output)

    async def close(self) -> None:
        """Hang up, and end the engines it keeps."""
        await self._engines.close()


def run_request(
    tool: Tool,
    args: Mapping[str, Any],
    limits: Limits,
    circumstances: Circumstances,
    grants: Grants,
) -> Run:
    """A call as an engine is told of it.

    Raises:
        ValueError: `args` are not JSON-ready.
    """
    return Run(
        name=tool.name,
        language=tool.language,
        code=tool.code.encode() if isinstance(tool.code, str) else tool.code,
        function=tool.entry,
        arguments=arguments_text(args),
        limits=limits,
        seed=circumstances.seed,
        now_ns=circumstances.now_ns,
        scratch=SCRATCH in grants,
    )
