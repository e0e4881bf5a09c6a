"""Starts one instance until it is ready, and ends one without leaving anything behind."""

from __future__ import annotations

import asyncio
from typing import Final

from o_platform.errors import NotReadyError, OError
from o_platform.images.build import BuiltImage
from o_platform.runtimes.folders import InstanceFolders
from o_platform.runtimes.logs import LogFiles
from o_platform.runtimes.protocol import InstanceSpec, Placement, Runtime, State
from o_platform.runtimes.readiness import READY_S, await_ready
from o_platform.settings import Settings

_DETAIL_LINES: Final = 12
_DETAIL_CHARS: Final = 4000
_KEPT_LINES: Final = 2000


class Launcher:
    """Starts and ends instances of one runtime."""

    def __init__(
        self, runtime: Runtime, settings: Settings, ready_timeout_s: float = READY_S
    ) -> None:
        """`ready_timeout_s`: seconds until a starting instance is given up."""
        self.runtime = runtime
        self.folders = InstanceFolders(settings.run)
        self._files = LogFiles(settings.home)
        self._ready_timeout_s = ready_timeout_s

    def make_folders(self, spec: InstanceSpec) -> None:
        """Make the folders of an instance that is about to start; the bridge can listen then."""
        self.folders.prepare(spec.id, self.runtime.uid, spec.limits.socket_bytes)

    async def prepare(self, spec: InstanceSpec) -> BuiltImage | None:
        """Build the image, where there are images."""
        return await self.runtime.prepare(spec)

    async def start(self, spec: InstanceSpec) -> Placement:
        """Start an instance that is prepared; it is not ready yet.

        Cancelled, it first lets the start end: the caller then finds, and ends, what came of it.
        """
        starting = asyncio.ensure_future(self.runtime.start(spec))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # It runs in a thread, which cannot be cancelled and would outlive the clean-up.
            await asyncio.gather(starting, return_exceptions=True)
            raise

    async def await_ready(self, placement: Placement) -> None:
        """Wait until an instance is ready.

        Raises:
            NotReadyError: it ended or was not ready in time; says why, with its last lines.
        """
        socket = self.folders.agent_socket(placement.instance_id)
        try:
            await await_ready(self.runtime, placement, socket, self._ready_timeout_s)
        except NotReadyError as error:
            problem = f"instance {placement.instance_id}: {error.message}"
            raise NotReadyError(await self.explain(placement, problem)) from error

    async def explain(self, placement: Placement, problem: str) -> str:
        """A problem of an instance in words, with its state and its last lines."""
        state = await self._state(placement)
        lines = (await self.runtime.logs(placement, _DETAIL_LINES)).strip()[-_DETAIL_CHARS:]
        seen = f" ({state})" if state and not state.running and str(state) not in problem else ""
        said = f"; it printed last:\n{lines}" if lines else "; it printed nothing"
        return f"{problem}{seen}{said}"

    async def end(self, placement: Placement, grace_s: float = 0.0) -> None:
        """End an instance, keep what it printed, and remove it."""
        await self.runtime.stop(placement, grace_s)
        if not self.runtime.writes_log_files:
            text = await self.runtime.logs(placement, _KEPT_LINES)
            self._files.keep(placement.instance_id, text)
        await self.runtime.remove(placement)

    async def logs(self, placement: Placement | None, instance_id: str, tail: int) -> str:
        """What an instance printed, also when it is gone."""
        text = await self.runtime.logs(placement, tail) if placement else ""
        return text or self._files.read(instance_id, tail)

    async def _state(self, placement: Placement) -> State | None:
        try:
            return await self.runtime.state(placement)
        except OError:
            return None
