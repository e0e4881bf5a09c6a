"""A worker: loads the genome, connects to the bridge, waits to be promoted, then serves.

A worker says `READY` on one pipe, and that its event loop runs from then on, and is promoted by a
byte on the other. That pipe also tells it that PID 1 is gone (end of file): a spare then ends at
once, an active worker after its turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import uvloop
from uvicorn import Config, Server

from o_agent.bridge_client import BridgeClient
from o_agent.context_cache import ContextCache
from o_agent.environment import Environment
from o_agent.genome import INVALID_GENOME_EXIT, Genome, GenomeError, load_genome
from o_agent.http_server import InstanceHttpProtocol
from o_agent.overview import Overview
from o_agent.server import TurnApp
from o_agent.turn import TurnRunner
from o_sandbox.tiers import EngineSockets, Tiers, local_tiers

READY: Final = b"R"
PULSE: Final = b"P"
PULSE_S: Final = 1.0
GO: Final = b"G"
DRAIN_S: Final = 5
"""How long a worker that is told to stop may take to finish its turns."""
BACKLOG: Final = 4096
WORKER_NAME: Final = "o-worker"
"""What the active worker is called in `ps`."""
GC_THRESHOLDS: Final = (20_000, 20, 20)
_OOM_SCORE: Final = "500"
"""Out of memory, the kernel takes a worker and not PID 1, which brings the next one at once."""

_log = logging.getLogger("o_agent.worker")


def run_worker(
    environment: Environment,
    listener: socket.socket,
    pulse_fd: int,
    go_fd: int,
    engines: EngineSockets,
) -> int:
    """Be a worker until told to stop; returns the exit code."""
    _introduce("o-spare")
    _write_proc("oom_score_adj", _OOM_SCORE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is PID 1's to pass on
    try:
        genome = load_genome(environment.genome)
    except GenomeError as error:
        _log.critical("the genome cannot run: %s", error, extra={"file": error.file})
        return INVALID_GENOME_EXIT
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        client = BridgeClient(str(environment.bridge_socket), environment.variant)
        sandbox = local_tiers(restricted_workers=1, engines=engines)
        return runner.run(_serve(client, genome, sandbox, listener, pulse_fd, go_fd))


async def _serve(
    client: BridgeClient,
    genome: Genome,
    sandbox: Tiers,
    listener: socket.socket,
    pulse_fd: int,
    go_fd: int,
) -> int:
    runner = TurnRunner(client, genome, ContextCache(), sandbox)
    app = TurnApp(client, runner, Overview(client, genome, runner.compiler))
    async with asyncio.TaskGroup() as tasks:
        endless = [tasks.create_task(client.run()), tasks.create_task(_pulsate(pulse_fd))]
        if await _promoted(go_fd):
            await _serve_turns(app, listener, go_fd)
        for task in endless:
            task.cancel()
    await sandbox.close()
    return 0


async def _pulsate(pulse_fd: int) -> None:
    os.set_blocking(pulse_fd, False)
    os.write(pulse_fd, READY)
    while True:
        await asyncio.sleep(PULSE_S)
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # PID 1 is busy, or gone
            os.write(pulse_fd, PULSE)


async def _promoted(go_fd: int) -> bool:
    """Wait for the promotion; False if PID 1 is gone instead."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(go_fd, readable.set)
    await readable.wait()
    loop.remove_reader(go_fd)
    return os.read(go_fd, 1) == GO


async def _serve_turns(app: TurnApp, listener: socket.socket, go_fd: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn puts its own in place, and raises it
    server = Server(
        Config(
            app,
            http=InstanceHttpProtocol,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    _introduce(WORKER_NAME)
    # A turn leaves next to no cycles, and a look at all cached contexts takes milliseconds.
    gc.set_threshold(*GC_THRESHOLDS)
    loop = asyncio.get_running_loop()
    loop.add_reader(go_fd, _stop, server, go_fd)
    await server.serve(sockets=[listener])
    loop.remove_reader(go_fd)


def _stop(server: Server, go_fd: int) -> None:
    asyncio.get_running_loop().remove_reader(go_fd)
    _log.critical("PID 1 is gone; this worker stops")
    server.should_exit = True


def _introduce(name: str) -> None:
    """Show the process under this name in `ps` and `top`."""
    _write_proc("comm", name)


def _write_proc(file: str, value: str) -> None:
    with contextlib.suppress(OSError):  # a nicety that a hardened /proc may refuse
        Path(f"/proc/self/{file}").write_text(value, encoding="ascii")


def exit_worker(code: int) -> None:
    """End the forked process without running what PID 1 has registered for its own end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
