"""The tier's sandbox: some workers, of which one more than is needed is always on its way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from o_sandbox.circumstances import Circumstances
from o_sandbox.jail import LayerName
from o_sandbox.jail.entry import REQUIRED
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import Grants, OnOutput, SandboxError
from o_sandbox.restricted.options import Options
from o_sandbox.tool import Tool
from o_sandbox.worker.call import request
from o_sandbox.worker.process import Program, Worker

_log = logging.getLogger("o_sandbox.restricted")


class RestrictedSandbox:
    """Runs calls in jailed workers, one call per worker at a time.

    A worker that a call ended (CPU, wall time, a crash) is replaced while others serve.
    """

    def __init__(self, workers: int = 2, *, required: frozenset[LayerName] = REQUIRED) -> None:
        """`workers` serve side by side (each some 20 MB); `required` layers must hold."""
        if workers < 1:
            raise ValueError(f"at least one worker is needed, not {workers}")
        self._wanted = workers
        self._program = Program("o_sandbox.restricted.worker", Options(required))
        self._idle: list[Worker | Exception] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self._all: set[Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._is_open = False

    async def start(self) -> None:
        """Start the workers; returns when the first is ready.

        Raises:
            SandboxUnavailableError: the machine lacks a required layer.
            SandboxError: a worker does not come up.
        """
        self._is_open = True
        await self._add()
        for _ in range(1, self._wanted):
            self._replace()

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
            SandboxError: not started, no worker comes up, or a granted host function failed.
        """
        start = request(tool, args, limits, grants, (circumstances or Circumstances.fresh()).number)
        worker = await self._take()
        try:
            return await worker.run(start, limits, grants, on_output)
        finally:
            self._give_back(worker)

    async def close(self) -> None:
        """End all workers."""
        self._is_open = False
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in self._all:
            worker.end()
        self._all.clear()

    async def _take(self) -> Worker:
        while True:
            if not self._is_open:
                raise SandboxError("the sandbox of the tier `restricted` is not started")
            if not self._all and not self._starting:
                self._replace()
            while not self._idle:
                await self._offered()
            worker = self._idle.pop()
            if isinstance(worker, Exception):
                raise worker
            if worker.is_usable:
                return worker
            self._drop(worker)

    async def _offered(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _offer(self, worker: Worker | Exception) -> None:
        """To whoever is first; all who wait look, since one of them may have been cancelled."""
        self._idle.append(worker)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def _give_back(self, worker: Worker) -> None:
        if worker.is_usable and self._is_open:
            self._offer(worker)
        else:
            self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        worker.end()
        self._all.discard(worker)
        if self._is_open:
            self._replace()

    def _replace(self) -> None:
        task = asyncio.get_running_loop().create_task(self._add_later())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _add_later(self) -> None:
        try:
            await self._add()
        except SandboxError as error:
            _log.error("no worker for the tier `restricted`: %s", error)
            if not self._all:
                self._offer(error)  # whoever waits for a worker has to know

    async def _add(self) -> None:
        worker = await Worker.start(self._program)
        if worker.missing_layers and not self._all:
            _log.warning("tools are confined by less: %s", "; ".join(worker.missing_layers))
        self._all.add(worker)
        self._offer(worker)
