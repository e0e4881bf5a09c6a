"""Starting processes and asking the kernel about them.

A plain fork and exec, for what `subprocess` does not offer: the child's own id in its environment
(socket activation wants it) and a death signal from the kernel, so that no child outlives a
supervisor that was killed. The supervisor has one thread, which makes the fork safe. What happens
between fork and exec (`settle`) is the same for a child that a zygote forks.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

LISTEN_FD = 3
"""Where a child finds the socket it was activated by."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_HIGH_FD = 64
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Launch:
    """All that a new process needs."""

    command: tuple[str, ...]
    env: dict[str, str]
    output_fd: int
    listen_fd: int | None = None
    uid: int | None = None
    gid: int | None = None
    oom_score_adj: int = 0
    death_signal: signal.Signals = signal.SIGTERM


def spawn(launch: Launch) -> int:
    """Start a process in a session of its own; its id.

    Raises:
        OSError: it could not be started; the message says which step failed.
    """
    parent = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _execute(launch, parent, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        problem = pipe.read()
    if problem:
        os.waitpid(pid, 0)
        raise OSError(problem.decode(errors="replace"))
    return pid


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, as a zygote's child's does.

    Raises:
        OSError: the kernel refused.
    """
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def settle(launch: Launch, parent: int, keep: int) -> int:
    """Make a process that was just forked what `launch` says, all but its program.

    Args:
        launch: see there.
        parent: the supervisor's process id.
        keep: the only descriptor besides the launch's own that stays open.

    Returns:
        The new number of `keep`; it does not outlive an exec.

    Raises:
        OSError: a step failed.
    """
    keep = fcntl.fcntl(keep, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    _set_descriptors(launch, keep)
    os.setsid()
    os.chdir("/")
    with suppress(PermissionError):
        Path("/proc/self/oom_score_adj").write_text(str(launch.oom_score_adj))
    _set_user(launch)
    _set_signals(launch.death_signal, parent)
    return keep


def _execute(launch: Launch, parent: int, writing: int) -> NoReturn:
    try:
        writing = settle(launch, parent, writing)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            # By Python, whose programs want that; others do not.
            signal.signal(ignored, signal.SIG_DFL)
        os.execve(launch.command[0], launch.command, environment(launch))  # noqa: S606
    except BaseException as error:  # noqa: BLE001 — a forked child must never return
        os.write(writing, f"{launch.command[0]}: {error}".encode())
    os._exit(127)


def _set_descriptors(launch: Launch, writing: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = fcntl.fcntl(launch.output_fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    listening = launch.listen_fd
    if listening is not None:
        listening = fcntl.fcntl(listening, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    first = LISTEN_FD
    if listening is not None:
        os.dup2(listening, LISTEN_FD)
        first += 1
    os.closerange(first, writing)
    os.closerange(writing + 1, os.sysconf("SC_OPEN_MAX"))


def _set_user(launch: Launch) -> None:
    if os.geteuid() != 0:
        return
    if launch.gid is not None:
        os.setgroups([])
        os.setgid(launch.gid)
    if launch.uid is not None:
        os.setuid(launch.uid)


def _set_signals(death_signal: signal.Signals, parent: int) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    # After the change of user, which would clear it.
    if _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the supervisor died meanwhile")


def environment(launch: Launch) -> dict[str, str]:
    """The environment of the process that calls this, once it is what `launch` says."""
    if launch.listen_fd is None:
        return launch.env
    return launch.env | {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None: there is none, or a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] == "Z" else int(after_name[19])


def rss_bytes(pid: int) -> int | None:
    """Resident memory of the process; None: there is none."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def boot_id() -> str:
    """Names this boot of the machine: process ids of another one mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def end_process(pid: int, started: int, stop_signal: signal.Signals, grace_s: float) -> bool:
    """End a process that may not be our child: the signal, then SIGKILL. Whether it was there."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if start_time(pid) != started:
            return False
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, stop_signal)
        if not waiting.poll(grace_s * 1000):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            waiting.poll(grace_s * 1000)
    finally:
        os.close(handle)
    return True
