"""What the kernel counts for a container's processes, read from its control group (v1 or v2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of one control group since it was made."""

    memory_bytes: int
    memory_peak_bytes: int
    cpu_us: int
    oom_kills: int


def read_counters(pid: int, container_id: str) -> Counters | None:
    """Counters of the container whose main process is `pid`.

    Returns:
        None when they are not to be had here: the process is gone, or the engine's processes are
        numbered otherwise than ours (we are in a container ourselves).
    """
    try:
        groups = _groups(Path(f"/proc/{pid}/cgroup").read_text(), container_id)
        if "memory" in groups:
            return _version_1(groups)
        return _version_2(groups[""]) if "" in groups else None
    except OSError:
        return None


def _groups(text: str, container_id: str) -> dict[str, Path]:
    """Folders by controller (empty: the unified hierarchy), if they are of this container."""
    groups: dict[str, Path] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if container_id not in path:
            continue
        for controller in controllers.split(","):
            groups[controller] = ROOT / controller / path.lstrip("/")
    return groups


def _version_1(groups: Mapping[str, Path]) -> Counters:
    memory = groups["memory"]
    return Counters(
        memory_bytes=_number(memory / "memory.usage_in_bytes")
        - _field(memory / "memory.stat", "total_inactive_file"),
        memory_peak_bytes=_number(memory / "memory.max_usage_in_bytes"),
        cpu_us=_number(groups["cpuacct"] / "cpuacct.usage") // 1000 if "cpuacct" in groups else 0,
        oom_kills=_field(memory / "memory.oom_control", "oom_kill"),
    )


def _version_2(group: Path) -> Counters:
    current = _number(group / "memory.current")
    peak = group / "memory.peak"
    return Counters(
        memory_bytes=current - _field(group / "memory.stat", "inactive_file"),
        memory_peak_bytes=_number(peak) if peak.exists() else current,
        cpu_us=_field(group / "cpu.stat", "usage_usec"),
        oom_kills=_field(group / "memory.events", "oom_kill"),
    )


def _number(path: Path) -> int:
    return int(path.read_text())


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
