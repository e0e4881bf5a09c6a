"""One sandbox for tools of every tier: each tier is started when its first tool is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from o_sandbox.circumstances import Circumstances
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import Grants, OnOutput, Sandbox, SandboxUnavailableError
from o_sandbox.tool import Tier, Tool

Make = Callable[[], Sandbox]
TIERS: Final[tuple[Tier, ...]] = ("restricted", "wasm", "module", "container")


class Tiers:
    """A `Sandbox` that hands each tool to the sandbox of its tier."""

    def __init__(self, makers: Mapping[Tier, Make]) -> None:
        """`makers` make the sandbox of a tier; nothing is started yet."""
        self._makers = makers
        self._started: dict[Tier, Sandbox] = {}
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Nothing: a tier that no tool asks for costs nothing."""

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
            SandboxUnavailableError: this machine, or this installation, lacks the tool's tier.
            SandboxError: the host failed.
        """
        sandbox = self._started.get(tool.tier) or await self._start(tool.tier)
        return await sandbox.run(
            tool, args, limits, grants, on_output=on_output, circumstances=circumstances
        )

    async def close(self) -> None:
        """End every tier that was started."""
        started, self._started = self._started, {}
        for sandbox in started.values():
            await sandbox.close()

    async def _start(self, tier: Tier) -> Sandbox:
        async with self._lock:
            if tier in self._started:
                return self._started[tier]
            if tier not in self._makers:
                offered = ", ".join(sorted(self._makers))
                raise SandboxUnavailableError(
                    f"the tier {tier!r} is not offered here, only {offered}"
                )
            sandbox = self._makers[tier]()
            await sandbox.start()
            self._started[tier] = sandbox
            return sandbox


@dataclass(frozen=True, slots=True)
class EngineSockets:
    """Engines that another process keeps, for `wasm` and for `module`, and their calls at once."""

    python: Path
    modules: Path
    calls: int


def local_tiers(
    *,
    restricted_workers: int = 2,
    offered: Collection[Tier] = TIERS,
    engines: EngineSockets | None = None,
) -> Tiers:
    """Tiers on this machine, each imported and started when its first tool is called.

    Args:
        restricted_workers: processes of the tier `restricted`, each some 20 MB.
        offered: the tiers there are.
        engines: sockets of engines that another process keeps; None: own ones.
    """

    def restricted() -> Sandbox:
        from o_sandbox.restricted.sandbox import RestrictedSandbox

        return RestrictedSandbox(restricted_workers)

    def wasm() -> Sandbox:
        from o_sandbox.wasm import WasmSandbox

        if engines is None:
            return WasmSandbox()
        return WasmSandbox(EngineSettings(cache="", calls=engines.calls), paths=[engines.python])

    def module() -> Sandbox:
        from o_sandbox.module import ModuleSandbox

        if engines is None:
            return ModuleSandbox()
        return ModuleSandbox(EngineSettings(cache="", calls=engines.calls), paths=[engines.modules])

    def container() -> Sandbox:
        from o_sandbox.container.sandbox import ContainerSandbox

        return ContainerSandbox()

    makers: dict[Tier, Make] = {
        "restricted": restricted, "wasm": wasm, "module": module, "container": container,
    }  # fmt: skip
    return Tiers({tier: make for tier, make in makers.items() if tier in offered})
