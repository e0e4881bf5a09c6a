"""A process that has imported much, and forks the supervisor's children off itself.

Children share its memory as long as they do not write to it, and are there at once instead of after
the seconds that imports take: one is always forked in advance, and waits for what it is to be. The
zygote has one thread, no event loop and no secret: what children need to know comes with the
question for them (`births`).

A child is the supervisor's, not the zygote's: it is forked by a process that ends at once, so the
kernel gives it to the supervisor, which reaps and signals it like every other one. Nothing but
the next birth depends on the zygote's life. Questions that come in while there is none wait in the
queue of the socket, which the supervisor holds.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import runpy
import select
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from o_platform.supervisor.births import introduce, receive
from o_platform.supervisor.process import LISTEN_FD, Launch, environment, settle

_CREDENTIALS: Final = struct.Struct("3i")
QUIET_S: Final = 0.5
"""Without questions, until a child is forked in advance: not while the last one starts."""
_ADOPTED: Final = b"."
_QUESTION: Final = b"?"
_ARGUMENTS_BEGIN: Final = 47
"""Place in `/proc/<pid>/stat`, counted from 0; that of the arguments' end follows."""
_log = logging.getLogger(__name__)


def serve() -> NoReturn:
    """Fork what the supervisor asks for on the socket that it gave us, until ended by a signal.

    Only a forked child gets out of the loop: to run its module, and end with it. Everything that
    children need has to be imported before.

    Raises:
        RuntimeError: there is a second thread, which no child would have.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("a zygote must have one thread; an import has started another one")
    listener = socket.socket(fileno=LISTEN_FD)
    # No collection first: imports leave next to no garbage, and looking for it holds everybody up.
    # Trimmed before it is shared: what the imports freed would be copied, not given back.
    ctypes.CDLL(None).malloc_trim(0)
    gc.freeze()
    launch = _grow(listener, os.getppid())
    gc.enable()
    _run(launch)


def _grow(listener: socket.socket, supervisor: int) -> Launch:
    """Fork children; returns in each of them, with what it is to be."""
    womb: socket.socket | None = None
    while True:
        asked = select.select([listener], [], [], None if womb else QUIET_S)[0]
        if womb is None:
            womb = _fork()
            if womb is None:
                listener.detach()
                break
        if asked:
            # Whoever is unborn takes the question; was it killed, the supervisor asks again.
            connection, _ = listener.accept()
            with connection, womb, suppress(BrokenPipeError):
                socket.send_fds(womb, [_QUESTION], [connection.fileno()])
            womb = None
    return _born(supervisor)


def _fork() -> socket.socket | None:
    """Fork a child of the supervisor, which waits: its end of a connection; None in the child."""
    ours, theirs = socket.socketpair()
    between = os.fork()
    if between:
        theirs.close()
        os.waitpid(between, 0)
        # From now on it is the supervisor's.
        with suppress(BrokenPipeError):
            ours.send(_ADOPTED)
        return ours
    if os.fork():
        os._exit(0)
    ours.close()
    os.dup2(theirs.detach(), LISTEN_FD)
    return None


def _born(supervisor: int) -> Launch:
    """Wait for the question, and begin; ends with the zygote if none comes."""
    with socket.socket(fileno=LISTEN_FD) as womb:
        if womb.recv(1) != _ADOPTED:
            os._exit(1)
        _, descriptors, _, _ = socket.recv_fds(womb, 1, 1)
        if not descriptors:
            os._exit(0)
    connection = socket.socket(fileno=descriptors[0])
    if (peer := _peer(connection)) != supervisor:
        _log.warning("process %d asked, which is not the supervisor", peer)
        os._exit(1)
    launch = receive(connection)
    _begin(launch, supervisor, connection.detach())
    return launch


def _begin(launch: Launch, supervisor: int, connection: int) -> None:
    connection = settle(launch, supervisor, connection)
    if not introduce(connection):
        os._exit(0)
    os.close(connection)
    os.environ.clear()
    os.environ.update(environment(launch))
    _set_title(launch.command)


def _run(launch: Launch) -> NoReturn:
    """What `<python> -m <module> …` does."""
    module = launch.command[2]
    sys.argv = [module, *launch.command[3:]]
    sys.orig_argv = list(launch.command)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


def _peer(connection: socket.socket) -> int:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(data)[0]
    return pid


def _set_title(command: tuple[str, ...]) -> None:
    """Show `command` as this process's, in place of the zygote's and no longer than that."""
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = (int(after_name[place - 2]) for place in (_ARGUMENTS_BEGIN, _ARGUMENTS_BEGIN + 1))
    if begin == 0:
        # Not told by this kernel.
        return
    title = b"\0".join(word.encode() for word in command)[: end - begin - 1]
    ctypes.memmove(begin, title.ljust(end - begin, b"\0"), end - begin)
