"""A real supervisor with small real children."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.integration.supervisor.conftest import (
    finish,
    gone,
    is_up,
    server,
    shell,
    wait_for,
)

from o_platform.supervisor.client import SupervisorRefusedError
from o_platform.supervisor.process import rss_bytes
from o_platform.supervisor.spec import (
    ChildKind,
    ChildSpec,
    Probe,
    ProbeKind,
    Strategy,
)
from o_platform.testing import require
from o_platform.testing.disk import filled, small_disk

pytestmark = pytest.mark.integration


def test_starts_in_order_stops_in_reverse_and_stays_small(start, short_tmp: Path) -> None:
    names = ["one", "two", "three"]
    running = start(*(server(short_tmp, name) for name in names))
    assert running.journal() == [f"start {name}" for name in names]
    memory = rss_bytes(running.process.pid)
    assert memory is not None
    assert memory < 20 * 1024 * 1024
    assert running.client.stop("test", timeout_s=10)
    assert running.process.wait(5) == 0
    assert running.journal()[3:] == [f"stop {name}" for name in reversed(names)]
    assert not (short_tmp / "run/supervisor.sock").exists()


def test_a_killed_child_is_ready_again_within_100_ms(start, short_tmp: Path) -> None:
    running = start(server(short_tmp, "web"), stable_s=0.01)
    recoveries = []
    for _ in range(5):
        pid = running.child("web")["pid"]
        time.sleep(0.02)  # longer than stable_s, so that no back-off applies
        os.kill(pid, signal.SIGKILL)
        began = time.perf_counter()
        wait_for(lambda: (c := running.child("web"))["phase"] == "ready" and c["pid"] != pid)  # noqa: B023
        recoveries.append(time.perf_counter() - began)
    assert min(recoveries) < 0.1, recoveries  # the others may meet a busy machine
    died = [event for event in running.events() if event["kind"] == "died"]
    assert len(died) == 5
    assert died[0]["code"] == -9
    assert died[0]["last_line"] == "web serves"
    assert running.child("web")["restarts"] == 5
    assert "SIGKILL" in running.child("web")["last_exit"]


def test_a_file_that_a_former_run_left_does_not_make_a_child_ready(start, short_tmp: Path) -> None:
    ready, go_on = short_tmp / "ready", short_tmp / "go"
    ready.touch()
    script = f"while [ ! -e {go_on} ]; do sleep 0.01; done; touch {ready}; sleep 60"
    running = start(shell("maker", script, probe=Probe(ProbeKind.FILE, str(ready))), up=False)
    wait_for(lambda: not ready.exists())
    assert running.child("maker")["phase"] == "starting"
    go_on.touch()
    wait_for(lambda: running.child("maker")["phase"] == "ready")


def test_too_many_deaths_end_it_with_the_reason(start, short_tmp: Path) -> None:
    running = start(
        server(short_tmp, "web"),
        shell("bad", "sleep 0.05; echo out of cheese; exit 7"),
        max_restarts=3,
        backoff_min_s=0.01,
        backoff_max_s=0.01,
        boot_tries=100,
        up=False,
    )
    assert running.process.wait(10) == 1
    assert running.process.stderr is not None
    said = running.process.stderr.read().decode()
    assert "4 deaths within 120 s; the last: `bad` exited 7: out of cheese" in said
    assert running.journal() == ["start web", "stop web"]
    assert [event["kind"] for event in running.events()][-1] == "down"


def test_rest_for_one_restarts_what_came_after(start, short_tmp: Path) -> None:
    running = start(
        *(server(short_tmp, name) for name in ("a", "b", "c")), strategy=Strategy.REST_FOR_ONE
    )
    before = {name: running.child(name)["pid"] for name in "abc"}
    os.kill(before["b"], signal.SIGKILL)
    wait_for(lambda: (c := running.child("c"))["phase"] == "ready" and c["pid"] != before["c"])
    assert running.child("a")["pid"] == before["a"]
    assert running.journal()[3:] == ["stop c", "start b", "start c"]


def test_an_on_demand_child_gets_the_socket_and_loses_no_connection(start, short_tmp: Path) -> None:
    script = short_tmp / "llm.py"
    script.write_text(
        textwrap.dedent("""
            import os, socket
            assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid())
            listener = socket.socket(fileno=3)
            listener.setblocking(True)
            while True:
                connection, _ = listener.accept()
                connection.sendall(f"{os.getpid()} {os.environ.get('PROVIDER_API_KEY')}".encode())
                connection.close()
        """)
    )
    path = str(short_tmp / "llm.sock")
    llm = ChildSpec(
        "llm", (sys.executable, "-I", str(script)), kind=ChildKind.ON_DEMAND, listen=path,
        env=("*",),
    )  # fmt: skip
    running = start(server(short_tmp, "web"), llm)

    def ask() -> tuple[int, str]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(path)
            pid, key = connection.recv(100).decode().split()
            return int(pid), key

    assert running.child("llm")["phase"] == "armed"
    first, key = ask()
    assert key == "secret"
    assert running.child("llm")["pid"] == first
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: running.child("llm")["pid"] is None)
    second, _ = ask()
    assert second != first


def test_each_child_sees_only_its_own_environment(start, short_tmp: Path) -> None:
    once = ChildKind.ONESHOT
    script = f"env > {short_tmp}/$NAME.env"
    running = start(
        shell("a", script, kind=once, env=("PATH", "O_*", "!O_X"), env_set={"NAME": "a"}),
        shell("b", script, kind=once, env=("*",), env_set={"NAME": "b"}),
    )  # fmt: skip
    assert running.child("a")["phase"] == "done"
    first = (short_tmp / "a.env").read_text()
    assert "PATH=" in first
    assert "secret" not in first
    assert "O_X" not in first
    assert "PROVIDER_API_KEY=secret" in (short_tmp / "b.env").read_text()


def test_a_failed_oneshot_ends_it(start) -> None:
    running = start(
        shell("migrate", "echo relation missing >&2; exit 4", kind=ChildKind.ONESHOT), up=False
    )
    assert running.process.wait(10) == 1
    assert running.process.stderr is not None
    assert "`migrate` exited 4: relation missing" in running.process.stderr.read().decode()


def test_the_kernels_lock_is_the_truth_not_its_file(start, short_tmp: Path) -> None:
    (short_tmp / "run").mkdir()
    (short_tmp / "run/supervisor.lock").write_text("1\n")
    running = start(server(short_tmp, "web"))
    second = subprocess.run(
        [sys.executable, "-m", "o_platform.supervisor", short_tmp / "spec.json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 3
    assert f"runs already (process {running.process.pid})" in second.stderr
    assert running.child("web")["phase"] == "ready"


def test_children_do_not_outlive_a_killed_supervisor(start, short_tmp: Path) -> None:
    stubborn = "trap '' TERM; echo here; while :; do sleep 0.05; done"
    children = (server(short_tmp, "web"), shell("stubborn", stubborn, grace_s=0.3))
    running = start(*children)
    web, left = running.child("web")["pid"], running.child("stubborn")["pid"]
    wait_for(lambda: (short_tmp / "log/stubborn.log").read_text() == "here\n")
    running.process.kill()
    running.process.wait()
    wait_for(lambda: gone(web))
    assert not gone(left)
    again = start(*children, up=False)
    wait_for(lambda: is_up(again))
    assert gone(left)
    leftovers = [event for event in again.events() if event["kind"] == "leftover"]
    assert [event["pid"] for event in leftovers] == [left]


def test_output_is_kept_in_files_that_rotate(start, short_tmp: Path) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"
    running = start(shell("chatty", script, kind=ChildKind.ONESHOT), log_max_bytes=8000, log_keep=2)
    assert running.child("chatty")["phase"] == "done"
    files = sorted(path.name for path in (short_tmp / "log").glob("chatty.log*"))
    assert files == ["chatty.log", "chatty.log.1", "chatty.log.2"]
    assert (short_tmp / "log/chatty.log").read_text().endswith("line 2999\n")
    assert all(path.stat().st_size <= 8000 for path in (short_tmp / "log").glob("chatty.log*"))


def test_a_full_disk_stops_neither_it_nor_its_children(start, short_tmp: Path) -> None:
    require("mount")
    chatter = "while :; do printf '%02000d\\n' 1; sleep 0.01; done"
    with small_disk(1 << 20) as disk:
        for name in ("run", "log"):
            (short_tmp / name).symlink_to(disk)
        running = start(shell("chatty", chatter))
        first = running.child("chatty")["pid"]
        with filled(disk):
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: running.child("chatty")["pid"] not in (None, first))
            kinds = [event["kind"] for event in running.client.events(tail=20, follow=False)]
            assert "unrecorded" in kinds
            wait_for(lambda: is_full(disk / "chatty.log"))
        wait_for(lambda: "bytes lost: the disk was full]" in (disk / "chatty.log").read_text())
        assert running.child("chatty")["restarts"] == 1
        finish(running.process)


def is_full(log: Path) -> bool:
    """Whether it does not grow although its process goes on writing."""
    before = log.stat().st_size
    time.sleep(0.1)
    return log.stat().st_size == before


def test_a_child_that_ignores_the_stop_signal_is_killed(start) -> None:
    running = start(shell("deaf", "trap '' TERM; while :; do sleep 0.05; done", grace_s=0.2))
    time.sleep(0.1)
    assert running.client.stop("test", timeout_s=10)
    assert running.process.wait(5) == 0
    stopped = next(event for event in running.events() if event["kind"] == "stopped")
    assert "did not stop within 0.2 s" in stopped["message"]


def test_the_stop_command_runs_before_the_signal(start, short_tmp: Path) -> None:
    journal = short_tmp / "journal"
    web = server(short_tmp, "web", stop_command=("/bin/sh", "-c", f"echo drain >> {journal}"))
    running = start(web)
    running.client.restart("web")
    wait_for(lambda: running.journal()[-2:] == ["stop web", "start web"])
    wait_for(lambda: running.child("web")["phase"] == "ready")
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(10) == 0
    assert running.journal()[-2:] == ["drain", "stop web"]


def test_events_can_be_followed_and_bad_requests_are_answered(start, short_tmp: Path) -> None:
    running = start(server(short_tmp, "web"))
    events = running.client.events(tail=100, follow=True)
    assert next(event for event in events if event["kind"] == "up")["child"] == ""
    os.kill(running.child("web")["pid"], signal.SIGKILL)
    assert next(event for event in events if event["kind"] == "died")["child"] == "web"
    assert next(event for event in events if event["kind"] == "ready")["child"] == "web"
    events.close()
    with pytest.raises(SupervisorRefusedError, match="unknown child 'nobody'"):
        running.client.restart("nobody")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(short_tmp / "run/supervisor.sock"))
        connection.sendall(b'not json\n{"op": "dance"}\n[]\n')
        answers = connection.makefile()
        for part in ("Expecting value", "unknown op 'dance'", "has no attribute 'get'"):
            answer = json.loads(answers.readline())
            assert answer["ok"] is False
            assert part in answer["error"]


def test_a_command_that_does_not_exist_is_reported(start) -> None:
    running = start(ChildSpec("ghost", ("/no/such/program",)), up=False)
    assert running.process.wait(10) == 1
    assert running.process.stderr is not None
    assert "/no/such/program" in running.process.stderr.read().decode()


def test_a_wrong_specification_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text('{"children": [], "run_dir": "/x", "log_dir": "/y"}')
    result = subprocess.run(
        [sys.executable, "-m", "o_platform.supervisor", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert "there must be one" in result.stderr
