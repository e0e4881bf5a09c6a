"""Instances as plain child processes: a convenience for development that isolates nothing.

An instance has limits on memory, files and their size, an environment of its own and a session of
its own, and that is all: its code can read, write and reach whatever we can. So a genome that a
model proposed is refused, unless the operator trusts such genomes. Processes outlive the control
plane; they are found again by their environment, which names their socket.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from o_platform.errors import ForbiddenError, NotReadyError
from o_platform.runtimes.folders import InstanceFolders
from o_platform.runtimes.logs import LogFiles
from o_platform.runtimes.process_facts import (
    SOCKET_VARIABLE,
    ended,
    exit_code_of,
    handle_of,
    instances_by_pid,
    is_alive,
    is_leader,
    pid_of,
    usage_of,
)
from o_platform.runtimes.protocol import InstanceSpec, Placement, RuntimeEvent, State, Usage
from o_platform.settings import Limits, Settings

log = logging.getLogger(__name__)

_OPEN_FILES: Final = 4096
_FILE_BYTES: Final = 64 * 1024 * 1024
_KILL_S: Final = 10.0
_COLLECT_S: Final = 0.5
"""Until a killed process is gone, unless the kernel holds it."""


class ProcessRuntime:
    """Instances as child processes of whoever started them."""

    name: Final = "process"
    writes_log_files: Final = True

    def __init__(self, settings: Settings) -> None:
        """Warns, since this isolates nothing."""
        self.uid = os.geteuid()
        self._folders = InstanceFolders(settings.run)
        self._logs = LogFiles(settings.home)
        self._trusts_machines = settings.trust_machine_genomes
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._watched: dict[int, int] = {}
        self._events: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        log.warning(
            "instances run as plain processes, WITHOUT ANY ISOLATION: code of a genome can do "
            "whatever this user can; install a container engine for anything but development"
        )

    async def prepare(self, spec: InstanceSpec) -> None:
        """Refuse a genome that may not run without a container."""
        if spec.origin == "machine" and not self._trusts_machines:
            raise ForbiddenError(
                f"variant {spec.genome.digest[:12]} was proposed by a model and would run without "
                "a container; install a container engine, or start with --i-trust-this-genome "
                "(O_TRUST_MACHINE_GENOMES=true)",
                variant=spec.genome.digest,
            )

    async def start(self, spec: InstanceSpec) -> Placement:
        """Start a process on a copy of the genome."""
        await self.prepare(spec)
        await self._end_all(spec.id)
        spec.genome.write_to(self._folders.genome(spec.id))
        try:
            child = await asyncio.to_thread(self._spawn, spec)
        except OSError as error:
            raise NotReadyError(f"instance {spec.id} could not be started: {error}") from error
        self._children[spec.id] = child
        placement = Placement(spec.id, handle_of(child.pid))
        self._watch_end(placement, child)
        return placement

    async def state(self, placement: Placement) -> State | None:
        """How the process is; an exit status is known only of our own children."""
        if is_alive(placement):
            return State(running=True)
        child = self._child(placement)
        return State(running=False, exit_code=exit_code_of(child.poll())) if child else None

    async def stop(self, placement: Placement, grace_s: float) -> None:
        """SIGTERM to the whole session, SIGKILL after the grace to all that is left of it."""
        if is_alive(placement):
            _signal_group(pid_of(placement), signal.SIGTERM)
            await ended(pid_of(placement), grace_s)
            _signal_group(pid_of(placement), signal.SIGKILL)
        await self._end_all(placement.instance_id)

    async def remove(self, placement: Placement) -> None:
        """Kill whatever is left of it."""
        if is_alive(placement):
            _signal_group(pid_of(placement), signal.SIGKILL)
        await self._end_all(placement.instance_id)
        child = self._children.pop(placement.instance_id, None)
        if child is not None:
            await asyncio.to_thread(child.wait)

    async def usage(self, placement: Placement) -> Usage:
        """Summed over the instance's processes."""
        return await asyncio.to_thread(usage_of, self._pids(placement.instance_id))

    async def logs(self, placement: Placement, tail: int) -> str:
        """The last lines of its log file."""
        return await asyncio.to_thread(self._logs.read, placement.instance_id, tail)

    async def owned(self) -> list[Placement]:
        """Processes of this home that live; watched from now on."""
        found = [
            Placement(instance, handle_of(pid))
            for pid, instance in instances_by_pid(self._folders.root).items()
            if is_leader(pid)
        ]
        for placement in found:
            self._watch_end(placement)
        return found

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[RuntimeEvent]]:
        """Deaths; without a container, running out of memory looks like any other death."""

        async def events() -> AsyncIterator[RuntimeEvent]:
            while True:
                yield await self._events.get()

        yield events()

    async def close(self) -> None:
        """Stop watching; the processes go on."""
        loop = asyncio.get_running_loop()
        for descriptor in self._watched.values():
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self._watched.clear()
        for child in self._children.values():
            child.returncode = child.poll() or 0  # else Python warns of a child left behind
        self._children.clear()

    def _spawn(self, spec: InstanceSpec) -> subprocess.Popen[bytes]:
        with self._logs.open(spec.id) as output:
            child = subprocess.Popen(  # noqa: S603
                [sys.executable, *spec.arguments],
                env=self._environment(spec),
                cwd=self._folders.genome(spec.id),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _limit(child.pid, spec.limits)
        return child

    def _environment(self, spec: InstanceSpec) -> dict[str, str]:
        return {
            SOCKET_VARIABLE: str(self._folders.agent_socket(spec.id)),
            "O_BRIDGE_SOCKET": str(self._folders.bridge_socket(spec.id)),
            "O_GENOME": str(self._folders.genome(spec.id)),
            "O_VARIANT": spec.genome.digest,
        }

    def _child(self, placement: Placement) -> subprocess.Popen[bytes] | None:
        child = self._children.get(placement.instance_id)
        return child if child is not None and child.pid == pid_of(placement) else None

    def _watch_end(
        self, placement: Placement, child: subprocess.Popen[bytes] | None = None
    ) -> None:
        pid = pid_of(placement)
        if pid in self._watched:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._tell_end(placement, child)
            return
        self._watched[pid] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._ended, placement, child)

    def _ended(self, placement: Placement, child: subprocess.Popen[bytes] | None) -> None:
        descriptor = self._watched.pop(pid_of(placement))
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._tell_end(placement, child)

    def _tell_end(self, placement: Placement, child: subprocess.Popen[bytes] | None) -> None:
        code = _exit_code(child) if child else None
        self._events.put_nowait(RuntimeEvent(placement, "died", code))

    def _pids(self, instance_id: str) -> list[int]:
        by_pid = instances_by_pid(self._folders.root)
        return [pid for pid, instance in by_pid.items() if instance == instance_id]

    async def _end_all(self, instance_id: str) -> None:
        """Kill every process of an instance, those included that left its session."""
        while pids := self._pids(instance_id):
            for pid in pids:
                _kill(pid)
                await ended(pid, _KILL_S)


def _limit(pid: int, limits: Limits) -> None:
    """Bound private memory, not addresses: a Wasm engine reserves gigabytes of those.

    It maps more of the former than it uses, too, gigabytes of tables, so the limit can be lifted
    from inside: it is one against accidents, as all of a plain process is. Containers keep theirs.
    """
    resource.prlimit(pid, resource.RLIMIT_DATA, (limits.memory_bytes, resource.RLIM_INFINITY))
    for kind, value in (
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.prlimit(pid, kind, (value, value))


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _exit_code(child: subprocess.Popen[bytes]) -> int | None:
    # The pidfd may tell of the end a moment before the status can be collected.
    try:
        return exit_code_of(child.wait(timeout=_COLLECT_S))
    except subprocess.TimeoutExpired:
        return None
