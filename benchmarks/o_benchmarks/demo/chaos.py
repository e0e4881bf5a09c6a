"""Kills one process at a time, by id: the stable worker, the bridge, the control plane."""

from __future__ import annotations

import os
import signal
from typing import Any

import docker
import psutil

from o_agent.worker import WORKER_NAME


def kill_worker(instance: dict[str, Any]) -> int:
    """SIGKILL the active worker of an instance, as the host sees it; returns its process id."""
    pid = active_worker(first_process(instance))
    kill(pid)
    return pid


def active_worker(zygote: int) -> int:
    """The worker that serves, of the children of an instance's first process.

    It is the one that calls itself so, and where that cannot be read the one that has used the most
    CPU time: the other one is the hot spare, which waits.
    """
    workers = psutil.Process(zygote).children()
    return max(workers, key=lambda w: (w.name() == WORKER_NAME, sum(w.cpu_times()[:2]))).pid


def kill(pid: int) -> None:
    """SIGKILL a process of the platform."""
    os.kill(pid, signal.SIGKILL)


def first_process(instance: dict[str, Any]) -> int:
    """Process id of an instance's first process, as the host sees it."""
    if instance["runtime"] != "docker":
        return int(str(instance["handle"]).partition(":")[0])
    client = docker.from_env()
    try:
        return int(client.api.inspect_container(instance["handle"])["State"]["Pid"])
    finally:
        client.close()
