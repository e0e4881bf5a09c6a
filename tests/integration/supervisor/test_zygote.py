"""Children that a zygote forks: the supervisor's own, whoever is killed when."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.supervisor.conftest import Running, gone, wait_for

from o_platform.supervisor.process import start_time
from o_platform.supervisor.spec import ChildKind, ChildSpec

pytestmark = pytest.mark.integration

PRELOADED = """
    import os
    imported_by = os.getpid()
"""
CHILD = """
    import json, os, signal, socket, sys, threading
    import preloaded
    path, code = sys.argv[1:3]
    def end(*_):
        sys.exit(int(code))
    signal.signal(signal.SIGTERM, end)
    seen = {
        "pid": os.getpid(), "parent": os.getppid(), "session": os.getsid(0),
        "imported_by": preloaded.imported_by, "environ": dict(os.environ),
        "argv": sys.argv[1:], "folder": os.getcwd(), "descriptors": sorted(
            int(name) for name in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{name}")
        ),
    }
    print("child", os.getpid(), "begins", flush=True)
    listener = socket.socket(fileno=3)
    listener.setblocking(True)
    while True:
        connection, _ = listener.accept()
        connection.sendall(json.dumps(seen).encode())
        connection.close()
"""
SERVE = "from o_platform.supervisor.zygote import serve; import preloaded; serve()"


@pytest.fixture
def family(short_tmp: Path) -> tuple[ChildSpec, ChildSpec]:
    """A zygote, and a child that answers on a socket of the supervisor's with what it sees."""
    for name, text in (("preloaded", PRELOADED), ("forked_child", CHILD)):
        (short_tmp / f"{name}.py").write_text(textwrap.dedent(text))
    path = str(short_tmp / "app.sock")
    return (
        ChildSpec(
            "zygote", (sys.executable, "-c", SERVE), gates=False,
            listen=str(short_tmp / "zygote.sock"), env_set={"PYTHONPATH": str(short_tmp)},
        ),
        ChildSpec(
            "app", (sys.executable, "-m", "forked_child", path, "0"), zygote="zygote",
            listen=path, env=("O_*",), env_set={"SET": "yes"},
        ),
    )  # fmt: skip


def ask(running: Running) -> dict[str, Any]:
    """What the child sees; waits for one that does not run yet."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(15)
        connection.connect(str(running.folder / "app.sock"))
        with connection.makefile("rb") as answer:
            seen: dict[str, Any] = json.loads(answer.read())
    return seen


def family_of(running: Running) -> set[int]:
    """The supervisor's children, whether it knows of them or not."""
    return {process.pid for process in psutil.Process(running.process.pid).children()}


def kill(running: Running, name: str) -> int:
    """Kill a child; its process id, which is free when this returns."""
    pid: int = running.child(name)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: gone(pid))
    return pid


def test_a_forked_child_is_the_supervisors_and_like_one_that_was_executed(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family)
    zygote, pid = running.child("zygote")["pid"], running.child("app")["pid"]
    seen = ask(running)
    assert (seen["pid"], seen["parent"], seen["session"]) == (pid, running.process.pid, pid)
    assert seen["imported_by"] == zygote
    assert seen["environ"] == {
        "O_X": "1", "SET": "yes", "LISTEN_FDS": "1", "LISTEN_PID": str(pid),
    }  # fmt: skip
    assert seen["argv"] == list(family[1].command[3:])
    assert seen["folder"] == "/"
    # Standard streams and the socket: nothing of the zygote's.
    assert seen["descriptors"] == [0, 1, 2, 3]
    title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert " ".join(family[1].command).startswith(b" ".join(title).decode())
    assert b"forked_child" in title
    wait_for(lambda: f"child {pid} begins" in (running.folder / "log/app.log").read_text())
    assert running.client.stop("test", timeout_s=10)
    assert gone(pid)
    exits = {e["child"]: e["message"] for e in running.events() if e["kind"] == "stopped"}
    assert exits["app"] == "`app` stopped (exited 0)"


def test_a_killed_child_is_back_and_connections_wait_for_it(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family)
    before = kill(running, "app")
    after = ask(running)
    assert after["pid"] != before
    assert after["imported_by"] == running.child("zygote")["pid"]
    assert running.child("app")["last_exit"] == "was killed by SIGKILL"


def test_births_leave_no_descriptor_open(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family, stable_s=0.0)
    zygote = running.child("zygote")["pid"]

    def descriptors() -> tuple[int, int] | None:
        """Of the supervisor and of the zygote, while there is a child in waiting."""
        if len(family_of(running)) < 3:
            return None
        processes = running.process.pid, zygote
        supervisors, zygotes = (len(os.listdir(f"/proc/{pid}/fd")) for pid in processes)
        return supervisors, zygotes

    before = wait_for(descriptors)
    for _ in range(3):
        kill(running, "app")
        ask(running)
    wait_for(lambda: descriptors() == before)


def test_a_killed_zygote_takes_nobody_with_it_and_the_next_one_forks(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family)
    zygote, app = running.child("zygote")["pid"], running.child("app")["pid"]
    kill(running, "zygote")
    wait_for(lambda: running.child("zygote")["pid"] not in (None, zygote))
    assert ask(running)["pid"] == kill(running, "app") == app
    assert ask(running)["imported_by"] == running.child("zygote")["pid"]


def test_both_killed_at_once_come_back(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family)
    for name in ("zygote", "app"):
        kill(running, name)
    assert ask(running)["imported_by"] == wait_for(lambda: running.child("zygote")["pid"])


def test_a_zygote_that_dies_over_a_birth_leaves_no_process_behind(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family)
    before = family_of(running)
    os.kill(running.child("zygote")["pid"], signal.SIGSTOP)
    kill(running, "app")
    wait_for(lambda: running.child("app")["phase"] == "starting")
    # It asks a zygote that stands still; that one is killed with the question in its queue.
    kill(running, "zygote")
    seen = ask(running)
    assert seen["imported_by"] == wait_for(lambda: running.child("zygote")["pid"])
    assert seen["pid"] not in before
    wait_for(lambda: not before & family_of(running))


def test_a_child_in_waiting_that_is_killed_is_not_missed(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family)
    known = {running.child(name)["pid"] for name in ("zygote", "app")}
    (unborn,) = wait_for(lambda: family_of(running) - known)
    os.kill(unborn, signal.SIGKILL)
    wait_for(lambda: gone(unborn))
    app = kill(running, "app")
    assert ask(running)["pid"] not in (unborn, app)


def test_forked_children_end_with_a_killed_supervisor(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family)
    pids = [running.child(name)["pid"] for name in ("zygote", "app")]
    running.process.kill()
    running.process.wait()
    wait_for(lambda: all(start_time(pid) is None for pid in pids))


def test_a_forked_oneshot_says_how_it_ended(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec], short_tmp: Path
) -> None:
    (short_tmp / "failing.py").write_text("import sys\nsys.exit('it was the disk')\n")
    command = (sys.executable, "-m", "failing")
    failing = ChildSpec("once", command, kind=ChildKind.ONESHOT, zygote="zygote")
    running = start(family[0], failing, up=False)
    assert running.process.wait(20) == 1
    died = next(event for event in running.events() if event["kind"] == "died")
    assert (died["code"], died["last_line"]) == (1, "it was the disk")


def test_a_zygote_that_cannot_import_ends_the_start_with_its_reason(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    broken = replace(family[0], command=(sys.executable, "-c", "import no_such_library"))
    running = start(broken, family[1], up=False)
    assert running.process.wait(20) == 1
    (escalated,) = (e for e in running.events() if e["kind"] == "escalated")
    assert "`zygote` did not come up in 3 tries" in escalated["message"]
    assert "No module named 'no_such_library'" in escalated["message"]


def test_only_the_supervisor_is_answered(
    start: Callable[..., Running], family: tuple[ChildSpec, ChildSpec]
) -> None:
    running = start(*family)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(15)
        connection.connect(str(running.folder / "zygote.sock"))
        assert connection.recv(64) == b""
    log = running.folder / "log/zygote.log"
    wait_for(lambda: "which is not the supervisor" in log.read_text())
