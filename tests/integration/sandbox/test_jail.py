"""The jail holds where nothing else does: plain Python inside it, under no other rule."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from o_sandbox.jail import Jail, JailError, Layer, kernel_layers
from o_sandbox.jail.layers import require

pytestmark = pytest.mark.integration

_FORBIDDEN = {
    "read a file": "open('/etc/passwd').read()",
    "write a file": "open('/tmp/x', 'w')",
    "list a folder": "os.listdir('/')",
    "fork": "os.fork()",
    "run a program": "os.execv('/bin/sh', ['sh', '-c', 'true'])",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "a socket": "socket.socket()",
    "a local socket": "socket.socket(socket.AF_UNIX)",
    "signal the parent": "os.kill(os.getppid(), 0)",
    "trace": "checked(libc.ptrace(16, os.getppid(), 0, 0))",
    "mount": "checked(libc.mount(b'x', b'/mnt', b'tmpfs', 0, 0))",
    "become root": "os.setuid(0)",
    "a namespace": "checked(libc.unshare(0x10000000))",
    "a thread": "threading.Thread(target=print).start()",
    "executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))",
}


def _in_jail(jail: str | None, attempts: dict[str, str]) -> dict[str, str]:
    """What came of each attempt in one process that entered the jail: its error, or `done`."""
    program = f"""
        import ctypes, json, mmap, os, resource, socket, sys, threading
        from o_sandbox.jail import Jail, enter
        from o_sandbox.jail.seccomp import BASIC
        libc = ctypes.CDLL(None, use_errno=True)
        def checked(result):
            if result == -1:
                raise OSError(ctypes.get_errno(), "refused")
        results = {{}}
        {f"enter({jail})" if jail else ""}
        for name, code in {attempts!r}.items():
            try:
                exec(code)
                results[name] = "done"
            except BaseException as error:
                results[name] = f"{{type(error).__name__}}: {{error}}"
        print(json.dumps(results), flush=True)
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, str] = json.loads(done.stdout)
    return results


def test_plain_python_in_the_jail_reaches_nothing_outside() -> None:
    results = _in_jail("Jail()", _FORBIDDEN)
    assert results.keys() == _FORBIDDEN.keys()
    assert not [name for name, said in results.items() if said == "done"], results


def test_without_the_jail_the_same_attempts_succeed() -> None:
    harmless = ("read a file", "list a folder", "a socket", "a thread", "executable memory")
    found = _in_jail(None, {name: _FORBIDDEN[name] for name in harmless})
    assert set(found.values()) == {"done"}


def test_landlock_alone_keeps_to_the_listed_folders(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text("text")
    files = "BASIC | {'openat', 'open', 'ioctl', 'fcntl', 'getdents64', 'mkdirat', 'mkdir'}"
    jail = f"Jail(calls={files}, writable=({str(inside)!r},), file_bytes=1 << 20)"
    results = _in_jail(
        jail,
        {
            "inside": f"open({str(inside / 'new')!r}, 'w').write('x')",
            "read outside": f"open({str(outside / 'file')!r}).read()",
            "write outside": f"open({str(outside / 'new')!r}, 'w')",
        },
    )
    assert results["inside"] == "done"
    assert results["read outside"].startswith("PermissionError")
    assert results["write outside"].startswith("PermissionError")


def test_threads_and_executable_memory_are_given_where_asked_for() -> None:
    jail = "Jail(threads=True, executable_memory=True, processes=64)"
    results = _in_jail(jail, _FORBIDDEN)
    assert {name for name, said in results.items() if said == "done"} == {
        "a thread",
        "executable memory",
    }


def test_a_policy_decides_whether_to_go_on_without_a_layer() -> None:
    layers = [Layer("seccomp", True), Layer("landlock", False, "this kernel has none")]
    require(layers, Jail().required)
    with pytest.raises(JailError, match="landlock: this kernel has none"):
        require(layers, ["landlock"])


def test_the_report_names_every_layer_once() -> None:
    assert [layer.name for layer in kernel_layers()] == [
        "rlimits",
        "namespaces",
        "capabilities",
        "landlock",
        "seccomp",
    ]
