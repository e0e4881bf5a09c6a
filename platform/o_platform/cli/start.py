"""`o up`: prepares what the children need, starts the supervisor, and waits until all is healthy.

The supervisor is the parent of everything that runs. In the foreground this very process becomes
it (`exec`), so that its process id, its signals and its exit code are the platform's.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from o_platform.cli import terminal
from o_platform.cli.origins import compare_origins
from o_platform.cli.preparation import (
    has_base_image,
    make_base_image,
    make_folders,
    prepare,
    spec_file,
)
from o_platform.errors import NotReadyError, OError, SetupError
from o_platform.settings import Settings
from o_platform.supervisor.client import SupervisorClient, SupervisorDownError
from o_platform.supervisor.records import EVENTS_KEPT

_TITLES: Final = {
    "postgres": "PostgreSQL",
    "zygote": "zygote",
    "migrations": "migrations",
    "envoy": "Envoy",
    "bridge": "bridge",
    "control": "control plane",
}
_ANSWER_S: Final = 60.0
"""A new supervisor may first have to end what a killed one left over."""
_BASE_IMAGE_S: Final = 600.0
_POLL_S: Final = 0.03


def up(settings: Settings, *, foreground: bool) -> None:
    """Start the platform unless it runs; return when it is healthy (in the foreground: never).

    Raises:
        SetupError: this machine lacks something; says what to do.
        NotReadyError: a part did not come up; says why.
    """
    began = time.perf_counter()
    make_folders(settings)
    with _only_start(settings.run / "start.lock"):
        supervisor = SupervisorClient(settings.run / "supervisor.sock")
        mode = _mode_after_stopping(supervisor)
        if mode is not None:
            if foreground:
                raise SetupError("the platform runs already; `o down` first, or see `o status`")
            compare_origins(settings)
            if mode == "starting":
                _follow(supervisor, None)
            _finish(settings, None)
            return
        runtime = prepare(settings)
        if foreground:
            _become_supervisor(settings, runtime, began)
        process = _start_supervisor(settings)
        with _making_base_image(settings, runtime) as image:
            _follow(supervisor, process)
            _show(image)
        _finish(settings, began)


@contextmanager
def _only_start(path: Path) -> Iterator[None]:
    """Hold the lock of starts; wait for another one, and say so."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            terminal.warn(f"another `o up` is at work (process {lock.read().strip()}); waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _mode_after_stopping(supervisor: SupervisorClient) -> str | None:
    """What a running supervisor is up to, once one that is stopping has ended; None: none runs."""
    told = False
    while True:
        try:
            mode = str(supervisor.status()["mode"])
        except SupervisorDownError:
            return None
        if mode in ("starting", "running"):
            return mode
        if not told:
            terminal.warn("the platform is stopping; waiting for the end of that")
            told = True
        time.sleep(_POLL_S)


@contextmanager
def _making_base_image(settings: Settings, runtime: str) -> Iterator[Future[float] | None]:
    """Make the base image of instances beside the rest; the seconds that took."""
    if runtime != "docker" or has_base_image():
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(make_base_image, settings)


def _show(image: Future[float] | None) -> None:
    if image is not None:
        terminal.done("base image", image.result(timeout=_BASE_IMAGE_S))


def _supervisor_command(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "o_platform.supervisor", str(spec_file(settings))]


def _start_supervisor(settings: Settings) -> subprocess.Popen[bytes]:
    log = settings.home / "log" / "supervisor.log"
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603
            _supervisor_command(settings),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
        )  # fmt: skip


def _become_supervisor(settings: Settings, runtime: str, began: float) -> NoReturn:
    """Turn into the supervisor, leaving a process behind that reports once all is healthy."""
    if runtime == "docker" and not has_base_image():
        terminal.done("base image", make_base_image(settings))
    sys.stdout.flush()
    if os.fork() == 0:
        code = 0
        try:
            _follow(SupervisorClient(settings.run / "supervisor.sock"), None)
            _finish(settings, began, show_key=sys.stdout.isatty())
        except OError as error:
            terminal.failed("start", error.message)
            code = 1
        sys.stdout.flush()
        os._exit(code)
    command = _supervisor_command(settings)
    os.execv(command[0], command)  # noqa: S606 — our own command


def _follow(supervisor: SupervisorClient, process: subprocess.Popen[bytes] | None) -> None:
    """Show children as they come up; return when all are.

    Raises:
        NotReadyError: the supervisor gave up; says why.
    """
    for event in _events(supervisor, process):
        title = _TITLES.get(event["child"], event["child"])
        match event["kind"]:
            case "ready" | "done" if event["child"] in _TITLES:
                terminal.done(title, event["seconds"])
            case "died":
                terminal.failed(title, f"{event['message']}: {event['last_line']}")
            case "leftover":
                terminal.warn(event["message"])
            case "escalated" | "stopping":
                raise NotReadyError(f"{event['message']}; see `o logs`, `o doctor`")
            case "up":
                return


def _events(
    supervisor: SupervisorClient, process: subprocess.Popen[bytes] | None
) -> Iterator[dict[str, Any]]:
    """Events of this run of the supervisor from its begin, as they happen."""
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            yield from supervisor.events(tail=EVENTS_KEPT, follow=True)
            break
        except SupervisorDownError as error:
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise NotReadyError(f"{error}; see `o logs supervisor`") from error
            time.sleep(_POLL_S)
    raise NotReadyError("the supervisor ended before all was up; see `o logs supervisor`")


def _finish(settings: Settings, began: float | None, *, show_key: bool = True) -> None:
    """Wait for the stable instance and the first answer through Envoy; print the summary.

    Args:
        settings: of this platform.
        began: when this start began; None if there was nothing to start.
        show_key: whether to print the key itself.
    """
    # Only now, while the stable instance comes up: httpx takes a while.
    from o_platform.cli.control_api import ControlApi
    from o_platform.cli.health import await_health, await_listener
    from o_platform.cli.summary import first_token, print_summary

    api = ControlApi(settings.run / "control.sock")
    with terminal.step("stable instance"):
        await_health(api)
    token = first_token(settings, api)
    with terminal.step("answers on the listener"):
        await_listener(settings, token)
    if began is None:
        headline = "Project O runs already."
    else:
        headline = f"Project O is up ({time.perf_counter() - began:.1f} s)."
    print_summary(settings, token, headline, show_key=show_key)
