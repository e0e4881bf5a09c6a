"""`o down` and `o restart`."""

from __future__ import annotations

import asyncio
import time

from o_platform.cli.preparation import spec_file
from o_platform.cli.sweep import end_instances
from o_platform.cli.terminal import done, say
from o_platform.errors import NotFoundError, NotReadyError, UnavailableError
from o_platform.settings import Settings
from o_platform.supervisor.client import (
    SupervisorClient,
    SupervisorDownError,
    SupervisorRefusedError,
)
from o_platform.supervisor.loop import end_leftovers
from o_platform.supervisor.spec import load


def down(settings: Settings, timeout_s: float) -> None:
    """Stop everything; return when it has stopped.

    Raises:
        NotReadyError: it has not stopped in time.
    """
    began = time.perf_counter()
    try:
        stopped = _supervisor(settings).stop("`o down`", timeout_s=timeout_s)
    except SupervisorDownError:
        _end_leftovers(settings)
        return
    if not stopped:
        raise NotReadyError(
            f"the platform has not stopped within {timeout_s:g} s; it goes on stopping: `o status`"
        )
    done("everything stopped in order", time.perf_counter() - began)


def _end_leftovers(settings: Settings) -> None:
    """End what goes on after the supervisor was killed."""
    say("the platform does not run")
    file = spec_file(settings)
    if not file.exists():
        return
    for name, pid in end_leftovers(load(file)):
        say(f"ended `{name}` (process {pid}), left over by a killed supervisor")
    if count := asyncio.run(end_instances(settings)):
        say(f"ended {count} instance{'s' if count > 1 else ''}, left over likewise")


def restart(settings: Settings, name: str) -> None:
    """Restart one process; returns when it is told to.

    Raises:
        UnavailableError: the platform does not run.
        NotFoundError: there is no such process, or it does not restart.
    """
    try:
        _supervisor(settings).restart(name)
    except SupervisorDownError as error:
        raise UnavailableError("the platform does not run; start it with `o up`") from error
    except SupervisorRefusedError as error:
        raise NotFoundError(f"{error}; see `o status`") from error
    say(f"{name} restarts; see `o status`")


def _supervisor(settings: Settings) -> SupervisorClient:
    return SupervisorClient(settings.run / "supervisor.sock")
