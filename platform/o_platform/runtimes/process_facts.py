"""Facts about processes: which are ours, whether one lives, when it ends, what it uses."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import psutil

from o_platform.runtimes.protocol import Placement, Usage

SOCKET_VARIABLE: Final = "O_AGENT_SOCKET"
"""The variable in an instance's environment that names it."""


def handle_of(pid: int) -> str:
    """`pid:start-time`, which names one process until the machine starts anew."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return f"{pid}:0"
    return f"{pid}:{stat.rpartition(')')[2].split()[19]}"


def pid_of(placement: Placement) -> int:
    """The process id in a handle."""
    return int(placement.handle.partition(":")[0])


def is_alive(placement: Placement) -> bool:
    """Whether the process of a handle lives; a zombie does not."""
    pid = pid_of(placement)
    try:
        ended = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    return not ended and handle_of(pid) == placement.handle


def exit_code_of(returncode: int | None) -> int | None:
    """An exit status as shells and engines count it: 128 + n after signal n."""
    return returncode if returncode is None or returncode >= 0 else 128 - returncode


async def ended(pid: int, timeout_s: float) -> bool:
    """Wait until a process has ended, at most `timeout_s` seconds; it need not be our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(descriptor, over.set)
    waiting = asyncio.ensure_future(over.wait())
    try:
        # No `asyncio.timeout`: at least in Python 3.11.2 it cancels anew, when its time is over, a
        # task that was cancelled and is cleaning up.
        await asyncio.wait({waiting}, timeout=timeout_s)
    finally:
        waiting.cancel()
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return over.is_set()


def instance_of(pid: int, root: Path) -> str:
    """Id of the instance below `root` that a process belongs to, by its environment; else empty."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    start = f"{SOCKET_VARIABLE}={root}/".encode()
    names = [each.removeprefix(start) for each in variables if each.startswith(start)]
    return names[0].split(b"/")[0].decode() if names else ""


def instances_by_pid(root: Path) -> dict[int, str]:
    """Instance ids of every living process that belongs to one below `root`."""
    found = {pid: instance_of(pid, root) for pid in psutil.pids()}
    return {pid: instance for pid, instance in found.items() if instance}


def is_leader(pid: int) -> bool:
    """Whether a process leads its session, as an instance's first one does."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def usage_of(pids: list[int]) -> Usage:
    """What processes use together; memory they share is divided among its sharers."""
    memory = peak = 0
    cpu_s = 0.0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            times = process.cpu_times()
            memory += process.memory_full_info().pss
            peak += _peak_bytes(pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
        cpu_s += times.user + times.system
    return Usage(memory, max(memory, peak), int(cpu_s * 1e6))


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
