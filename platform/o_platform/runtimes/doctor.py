"""What weakens the isolation of instances on this machine, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from o_platform.errors import EngineUnavailableError
from o_platform.images.engine import EngineClient
from o_platform.runtimes.docker import oci_runtime
from o_platform.runtimes.finding import Finding
from o_platform.runtimes.folders import mounts_are_seen
from o_platform.settings import Settings


async def isolation_findings(settings: Settings) -> list[Finding]:
    """How well instances are isolated here, the weak points with their remedies."""
    if settings.runtime == "process":
        return [_no_containers("O_RUNTIME=process")]
    engine = EngineClient()
    try:
        info = await engine.info()
    except EngineUnavailableError as error:
        return [_no_containers(error.message)]
    finally:
        await engine.close()
    return [*_engine_findings(info), _socket_folder(settings)]


def _no_containers(why: str) -> Finding:
    return Finding(
        "weak",
        "instances",
        f"they run as plain processes, which isolates nothing ({why})",
        "install a container engine (Debian: `apt install docker.io`) and unset O_RUNTIME",
    )


def _engine_findings(info: dict[str, Any]) -> Iterator[Finding]:
    version = info.get("ServerVersion", "?")
    yield Finding("good", "container engine", f"{info.get('OperatingSystem', '?')}, {version}")
    options = " ".join(info.get("SecurityOptions") or [])
    if "name=seccomp" not in options:
        yield Finding(
            "weak", "seccomp", "the engine filters no system calls", "use an engine built with it"
        )
    if "name=rootless" in options:
        yield Finding(
            "weak",
            "rootless engine",
            "its users are numbered otherwise than ours, so sockets of instances cannot be trusted",
            "use an engine that runs as root, or O_RUNTIME=process",
        )
    for limit, name in (
        ("MemoryLimit", "memory"),
        ("PidsLimit", "processes"),
        ("CpuCfsQuota", "CPU"),
    ):
        if not info.get(limit):
            yield Finding(
                "weak", f"{name} limit", "the kernel does not offer it", "enable its cgroup"
            )
    if not info.get("SwapLimit"):
        yield Finding(
            "note",
            "swap limit",
            "the kernel does not count swap",
            "boot with swapaccount=1, or without swap",
        )
    yield _gvisor(info)


def _gvisor(info: dict[str, Any]) -> Finding:
    if oci_runtime(info):
        return Finding("good", "gVisor", "used for instances")
    if "runsc" in (info.get("Runtimes") or {}):
        return Finding(
            "note",
            "gVisor",
            "installed but not used: it does not let Unix sockets through",
            "add --host-uds=all to its runtimeArgs in the engine's daemon.json",
        )
    return Finding("note", "gVisor", "not installed", "install runsc for a second boundary")


def _socket_folder(settings: Settings) -> Finding:
    if mounts_are_seen(settings.run):
        return Finding("good", "socket folders", "each is a tmpfs of bounded size")
    return Finding(
        "weak",
        "socket folders",
        f"plain folders below {settings.run}: an instance could fill the disk they are on",
        "run as root; in a container, mount that folder with bind-propagation=rshared",
    )
