"""The tier's sandbox: starts a process for each call, some at a time."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from o_sandbox.circumstances import Circumstances
from o_sandbox.container.options import Options
from o_sandbox.jail import LayerName
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import SCRATCH, Grants, OnOutput
from o_sandbox.tool import Tool
from o_sandbox.worker.call import request
from o_sandbox.worker.process import Program, Worker

REQUIRED: Final[frozenset[LayerName]] = frozenset({"rlimits", "landlock", "seccomp"})
"""Plain Python can open any path that its user can: without Landlock nothing keeps it from that."""
_log = logging.getLogger("o_sandbox.container")


class ContainerSandbox:
    """Runs calls in processes of their own; more than `parallel` at once wait."""

    def __init__(self, parallel: int = 2, *, required: frozenset[LayerName] = REQUIRED) -> None:
        """`required` layers of the jail must hold."""
        self._room = asyncio.Semaphore(parallel)
        self._required = required
        self._has_warned = False

    async def start(self) -> None:
        """Try the jail once, with a call that does nothing.

        Raises:
            SandboxUnavailableError: the machine lacks a required layer.
        """
        nothing = Tool("nothing", "def nothing():\n    return None", tier="container")
        await self.run(nothing, {}, Limits(), {})

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
        """Call the tool's function once.

        Raises:
            ValueError: the tool is no Python source, or `args` are not JSON-ready.
            SandboxUnavailableError: the machine lacks a required layer.
            SandboxError: the process does not come up, or a granted host function failed.
        """
        start = request(tool, args, limits, grants, (circumstances or Circumstances.fresh()).number)
        async with self._room:
            scratch = tempfile.mkdtemp(prefix="o-scratch-") if SCRATCH in grants else ""
            try:
                worker = await Worker.start(self._program(limits, scratch))
                self._warn_of(worker)
                try:
                    return await worker.run(start, limits, grants, on_output)
                finally:
                    worker.end()
            finally:
                if scratch:
                    await asyncio.to_thread(shutil.rmtree, Path(scratch), ignore_errors=True)

    async def close(self) -> None:
        """Nothing outlives its call."""

    def _program(self, limits: Limits, scratch: str) -> Program:
        file_bytes = limits.scratch_bytes if scratch else 0
        options = Options(self._required, limits.memory_bytes, limits.cpu_s, scratch, file_bytes)
        environment = {
            "LANG": "C.UTF-8",
            "HOME": scratch or "/",
            "TMPDIR": scratch or "/",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",  # it reserves address space for each
        }
        return Program("o_sandbox.container.worker", options, environment, scratch or "/")

    def _warn_of(self, worker: Worker) -> None:
        if worker.missing_layers and not self._has_warned:
            self._has_warned = True
            _log.warning("tools are confined by less: %s", "; ".join(worker.missing_layers))
