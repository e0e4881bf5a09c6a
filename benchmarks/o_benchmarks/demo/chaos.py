"""Kills one process at a time, by id: the stable worker, the bridge, the control plane."""

from __future__ import annotations

import os
import signal
from typing import Any

import docker
import psutil


def kill_worker(instance: dict[str, Any]) -> int:
    """SIGKILL the active worker of an instance, as the host sees it; returns its process id.

    The worker is the child of the container's PID 1 that has used the most CPU time: the other one
    is the hot spare, which waits.
    """
    children = psutil.Process(_first_process(instance)).children()
    worker = max(children, key=lambda child: sum(child.cpu_times()[:2]))
    worker.send_signal(signal.SIGKILL)
    return int(worker.pid)


def kill(pid: int) -> None:
    """SIGKILL a process of the platform."""
    os.kill(pid, signal.SIGKILL)


def _first_process(instance: dict[str, Any]) -> int:
    if instance["runtime"] != "docker":
        return int(str(instance["handle"]).partition(":")[0])
    client = docker.from_env()
    try:
        return int(client.api.inspect_container(instance["handle"])["State"]["Pid"])
    finally:
        client.close()
