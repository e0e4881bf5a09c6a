from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from o_platform.errors import NotReadyError
from o_platform.runtimes.docker import oci_runtime, seccomp_profile
from o_platform.runtimes.folders import InstanceFolders, check_socket
from o_platform.runtimes.logs import KEPT, LONGEST_BYTES, LogFiles, readable
from o_platform.runtimes.protocol import State
from o_platform.runtimes.watcher import fate_of, pause_s

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("role", "state", "fate"),
    [
        ("canary", State(running=True), "left alone"),
        ("canary", State(running=False, restarting=True, exit_code=1), "left alone"),
        ("canary", State(running=False, exit_code=1), "failed"),
        ("shadow", None, "failed"),
        ("bench", None, "failed"),
        ("stable", State(running=False, exit_code=0), "started again"),
        ("stable", None, "started again"),
    ],
)
def test_fate_of_the_dead(role: str, state: State | None, fate: str) -> None:
    assert fate_of(role, state) == fate


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [pause_s(deaths) for deaths in range(1, 40)]
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


def test_states_are_told_in_words() -> None:
    assert str(State(running=False, exit_code=137, out_of_memory=True)) == (
        "exited with 137: out of memory"
    )
    assert str(State(running=False)) == "exited with an unknown status"


def test_only_a_socket_of_the_instance_itself_is_trusted(short_tmp: Path) -> None:
    path = short_tmp / "agent.sock"
    with pytest.raises(NotReadyError, match="not there yet"):
        check_socket(path, os.geteuid())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        check_socket(path, os.geteuid())
        with pytest.raises(NotReadyError, match="belongs to user"):
            check_socket(path, os.geteuid() + 1)
        link = short_tmp / "link.sock"
        link.symlink_to(path)
        with pytest.raises(NotReadyError, match="is not a socket"):
            check_socket(link, os.geteuid())


def test_folders_come_and_go(short_tmp: Path) -> None:
    folders = InstanceFolders(short_tmp)
    inbox = folders.inbox("0123456789ab")
    for _ in range(2):
        folders.prepare("0123456789ab", os.geteuid(), 1 << 20)
        assert list(inbox.iterdir()) == []
        (inbox / "agent.sock").mkdir()
        (inbox / "agent.sock" / "junk").write_bytes(b"x")
        (inbox / "link").symlink_to("/etc")
    assert folders.known() == ["0123456789ab"]
    assert inbox.stat().st_mode & 0o777 == 0o711
    for _ in range(2):
        folders.remove("0123456789ab")
    assert folders.known() == []


def test_logs_are_kept_but_not_for_ever(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    for number in range(KEPT + 3):
        logs.keep(f"{number:012x}", "one\ntwo\n")
        os.utime(logs.path(f"{number:012x}"), (number, number))
    assert logs.read(f"{0:012x}", 5) == ""
    assert logs.read(f"{KEPT:012x}", 1) == "two\n"
    assert len(list(logs.path("x").parent.iterdir())) == KEPT


def test_what_instances_print_is_harmless_and_bounded(tmp_path: Path) -> None:
    assert readable(b"a\x00b\x1b[2Jc\r\n\td\xc2\x9b\xff") == "a\ufffdb\ufffd[2Jc\n\td\ufffd\ufffd"
    logs = LogFiles(tmp_path)
    with logs.open("0123456789ab") as file:
        file.write(b"x" * 2 * LONGEST_BYTES + b"\x1b\nlast\n")
    assert logs.read("0123456789ab", 1) == "last\n"
    assert len(logs.read("0123456789ab", 5)) == LONGEST_BYTES


def test_gvisor_is_used_only_when_it_lets_sockets_through() -> None:
    assert oci_runtime({"Runtimes": {"runc": {"path": "runc"}}}) == ""
    assert oci_runtime({"Runtimes": {"runsc": {"path": "runsc"}}}) == ""
    arguments = {"path": "runsc", "runtimeArgs": ["--host-uds=all"]}
    assert oci_runtime({"Runtimes": {"runsc": arguments}}) == "runsc"


def test_the_seccomp_profile_denies_by_default() -> None:
    profile = json.loads(seccomp_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }
    assert allowed >= {"landlock_create_ruleset", "seccomp", "futex", "memfd_create"}
    refused = {"mount", "unshare", "setns", "bpf", "ptrace", "keyctl", "io_uring_setup", "clone3"}
    assert not allowed & (refused | {"socket", "clone", "userfaultfd", "process_vm_readv"})
