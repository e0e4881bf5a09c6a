"""Instances in containers.

A container has no network, a read-only root, no capabilities, no way to gain privileges, our own
seccomp profile (an allow-list that lets a process restrict itself further by Landlock and seccomp),
an unprivileged user, and limits on memory with swap, CPU, processes, files, scratch and log. gVisor
(`runsc`) is used where it is installed and lets Unix sockets through. The engine restarts a
container whose main process failed, also while the control plane is down; labels tell whose it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from docker.errors import NotFound
from docker.types import LogConfig, Mount, Ulimit

from o_platform.errors import (
    ConflictError,
    EngineRefusedError,
    EngineUnavailableError,
    NotFoundError,
    NotReadyError,
    OError,
)
from o_platform.images.base import INSTANCE_UID
from o_platform.images.build import BuiltImage, ImageBuilder
from o_platform.images.engine import Api, EngineClient, as_platform_error
from o_platform.runtimes.cgroup import read_counters
from o_platform.runtimes.folders import AGENT_SOCKET, BRIDGE_SOCKET, InstanceFolders
from o_platform.runtimes.logs import readable
from o_platform.runtimes.protocol import InstanceSpec, Placement, RuntimeEvent, State, Usage
from o_platform.settings import Settings

log = logging.getLogger(__name__)

LABEL_HOME: Final = "project-o.home"
LABEL_INSTANCE: Final = "project-o.instance"
LABEL_ROLE: Final = "project-o.role"
MAX_RESTARTS: Final = 5
"""Restarts by the engine in quick succession, before it gives up."""

_INBOX: Final = "/run/o/in"
_OUTBOX: Final = "/run/o/out"
OPEN_FILES: Final = 4096
_SCRATCH_FILES: Final = 4096
_LOG_OPTIONS: Final = {"max-size": "8m", "max-file": "2"}
_GVISOR: Final = "runsc"
_GVISOR_SOCKETS: Final = ("--host-uds=all", "--host-uds=create")


class DockerRuntime:
    """Instances in containers of one engine."""

    name: Final = "docker"
    writes_log_files: Final = False

    def __init__(self, engine: EngineClient, builder: ImageBuilder, settings: Settings) -> None:
        """`settings.home` tells our containers from those of other homes."""
        self.uid = instance_uid()
        self._engine = engine
        self._builder = builder
        self._folders = InstanceFolders(settings.run)
        self._home = hashlib.sha256(str(settings.home.absolute()).encode()).hexdigest()[:12]
        self._oci_runtime: str | None = None

    async def prepare(self, spec: InstanceSpec) -> BuiltImage:
        """Build the genome's image, or find it."""
        return await self._builder.build(spec.genome)

    async def start(self, spec: InstanceSpec) -> Placement:
        """Start a container of the genome's image."""
        image = await self.prepare(spec)
        if self._oci_runtime is None:
            self._oci_runtime = oci_runtime(await self._engine.info())
        try:
            return await self._engine.call(lambda api: self._start(api, spec, image.image_id))
        except (EngineRefusedError, NotFoundError, ConflictError) as error:
            raise NotReadyError(
                f"instance {spec.id} could not be started: {error.message}"
            ) from error

    async def state(self, placement: Placement) -> State | None:
        """How the container is; None when it is gone."""
        found = await self._inspect(placement)
        return _state(found) if found else None

    async def stop(self, placement: Placement, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after the grace; the container stays for its logs."""
        try:
            await self._engine.call(lambda api: _stop(api, placement.handle, grace_s))
        except NotFoundError:
            return

    async def remove(self, placement: Placement) -> None:
        """Kill and remove the container."""
        try:
            await self._engine.call(
                lambda api: api.remove_container(placement.handle, force=True, v=True)
            )
        except NotFoundError:
            return
        except ConflictError:
            await self._await_removal(placement)

    async def usage(self, placement: Placement) -> Usage:
        """From the control group; from the engine's own figures where that cannot be read."""
        found = await self._inspect(placement)
        if found is None or not found["State"]["Running"]:
            return Usage()
        restarts = int(found.get("RestartCount") or 0)
        counters = read_counters(int(found["State"]["Pid"]), found["Id"])
        if counters is None:
            return await self._engine_usage(placement, restarts)
        return Usage(
            memory_bytes=counters.memory_bytes,
            memory_peak_bytes=counters.memory_peak_bytes,
            cpu_us=counters.cpu_us,
            oom_kills=counters.oom_kills,
            restarts=restarts,
        )

    async def logs(self, placement: Placement, tail: int) -> str:
        """What the container printed, with both of its streams in order."""
        try:
            raw = await self._engine.call(lambda api: api.logs(placement.handle, tail=tail))
        except (NotFoundError, ConflictError):  # gone, or going
            return ""
        return readable(bytes(raw))

    async def owned(self) -> list[Placement]:
        """Containers of this home, running or not."""
        wanted = {"label": f"{LABEL_HOME}={self._home}"}
        found = await self._engine.call(lambda api: api.containers(all=True, filters=wanted))
        return [Placement(each["Labels"].get(LABEL_INSTANCE, ""), each["Id"]) for each in found]

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[RuntimeEvent]]:
        """Deaths and out-of-memory kills, as the engine tells them."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[RuntimeEvent | OError] = asyncio.Queue()
        stream = await self._engine.call(self._open_events)

        def tell(item: RuntimeEvent | OError) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, item)

        async def events() -> AsyncIterator[RuntimeEvent]:
            while True:
                item = await queue.get()
                if isinstance(item, OError):
                    raise item
                yield item

        reader = threading.Thread(target=_read_events, args=(stream, tell), daemon=True)
        reader.start()
        try:
            yield events()
        finally:
            stream.close()
            await asyncio.to_thread(reader.join)

    async def close(self) -> None:
        """Close the connection to the engine."""
        await self._engine.close()

    def _open_events(self, api: Api) -> Any:
        wanted = {"label": f"{LABEL_HOME}={self._home}", "event": ["die", "oom"]}
        since = f"{time.time():.6f}"  # the engine answers before it listens to itself
        return api.events(since=since, filters=wanted, decode=True)

    def _start(self, api: Api, spec: InstanceSpec, image_id: str) -> Placement:
        name = f"project-o-{self._home}-{spec.id}"
        try:
            api.remove_container(name, force=True, v=True)
        except NotFound:
            log.debug("no leftover of instance %s", spec.id)
        container = api.create_container(
            image_id,
            list(spec.arguments),
            name=name,
            hostname=spec.id,
            user=f"{self.uid}:{self.uid}",
            environment=_environment(spec),
            labels={
                LABEL_HOME: self._home,
                LABEL_INSTANCE: spec.id,
                LABEL_ROLE: spec.role,
            },
            host_config=api.create_host_config(**self._host_config(spec)),
        )
        api.start(container)
        return Placement(spec.id, container["Id"])

    def _host_config(self, spec: InstanceSpec) -> dict[str, Any]:
        limits = spec.limits
        bounds = f"size={limits.scratch_bytes},nr_inodes={_SCRATCH_FILES}"
        scratch = f"rw,noexec,nosuid,nodev,{bounds},mode=1777"
        return {
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges", f"seccomp={seccomp_profile()}"],
            "mounts": [
                _bind(_INBOX, str(self._folders.inbox(spec.id)), read_only=False),
                _bind(_OUTBOX, str(self._folders.outbox(spec.id)), read_only=True),
            ],
            "tmpfs": {"/tmp": scratch},  # noqa: S108
            "shm_size": limits.scratch_bytes,
            "mem_limit": limits.memory_bytes,
            "memswap_limit": limits.memory_bytes,
            "nano_cpus": int(limits.cpus * 1e9),
            "pids_limit": limits.pids,
            "ulimits": [
                Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
                Ulimit(name="core", soft=0, hard=0),
            ],
            "log_config": LogConfig(type="json-file", config=_LOG_OPTIONS),
            "restart_policy": {"Name": "on-failure", "MaximumRetryCount": MAX_RESTARTS},
            "runtime": self._oci_runtime or None,
        }

    async def _inspect(self, placement: Placement) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._engine.call(
                lambda api: api.inspect_container(placement.handle)
            )
        except NotFoundError:
            return None
        return found

    async def _await_removal(self, placement: Placement) -> None:
        """Somebody else is removing it."""
        try:
            await self._engine.call(
                lambda api: api.wait(placement.handle, timeout=30, condition="removed")
            )
        except NotFoundError:
            return

    async def _engine_usage(self, placement: Placement, restarts: int) -> Usage:
        stats = await self._engine.call(
            lambda api: api.stats(placement.handle, stream=False, one_shot=True)
        )
        memory = stats.get("memory_stats") or {}
        current = int(memory.get("usage") or 0)
        return Usage(
            memory_bytes=current,
            memory_peak_bytes=int(memory.get("max_usage") or current),
            cpu_us=int(stats["cpu_stats"]["cpu_usage"]["total_usage"]) // 1000,
            restarts=restarts,
        )


def instance_uid() -> int:
    """The user instances run as: one of their own if we are root, else ours."""
    return INSTANCE_UID if os.geteuid() == 0 else os.geteuid()


@cache
def seccomp_profile() -> str:
    """The seccomp profile of containers, as JSON."""
    return files("o_platform.runtimes").joinpath("seccomp.json").read_text()


def oci_runtime(info: dict[str, Any]) -> Literal["runsc", ""]:
    """`runsc` if this engine has it and it lets Unix sockets through, else empty: the default."""
    runtimes = info.get("Runtimes") or {}
    arguments = (runtimes.get(_GVISOR) or {}).get("runtimeArgs") or []
    return "runsc" if any(each in _GVISOR_SOCKETS for each in arguments) else ""


def _environment(spec: InstanceSpec) -> dict[str, str]:
    return {
        "O_AGENT_SOCKET": f"{_INBOX}/{AGENT_SOCKET}",
        "O_BRIDGE_SOCKET": f"{_OUTBOX}/{BRIDGE_SOCKET}",
        "O_GENOME": "/genome",
        "O_VARIANT": spec.genome.digest,
    }


def _bind(target: str, source: str, *, read_only: bool) -> Mount:
    return Mount(target, source, type="bind", read_only=read_only, propagation="rprivate")


def _state(found: dict[str, Any]) -> State:
    state = found["State"]
    return State(
        running=bool(state["Running"]) and not state["Restarting"],
        restarting=bool(state["Restarting"]),
        exit_code=None if state["Running"] and not state["Restarting"] else int(state["ExitCode"]),
        out_of_memory=bool(state["OOMKilled"]),
        restarts=int(found.get("RestartCount") or 0),
    )


def _stop(api: Api, handle: str, grace_s: float) -> None:
    api.stop(handle, timeout=max(0, round(grace_s)))


def _read_events(stream: Any, tell: Any) -> None:
    """Runs in a thread until the stream ends, which it does when the engine goes or we close it."""
    try:
        for line in stream:
            if event := _event(line):
                tell(event)
    except Exception as error:  # noqa: BLE001
        tell(as_platform_error(error))
    else:
        tell(EngineUnavailableError("the container engine closed its stream of events"))


def _event(line: dict[str, Any]) -> RuntimeEvent | None:
    attributes = (line.get("Actor") or {}).get("Attributes") or {}
    instance_id = attributes.get(LABEL_INSTANCE)
    if instance_id is None:
        return None
    placement = Placement(instance_id, line["Actor"]["ID"])
    match line.get("Action"):
        case "die":
            return RuntimeEvent(placement, "died", int(attributes.get("exitCode", 0)))
        case "oom":
            return RuntimeEvent(placement, "oom")
        case _:
            return None
