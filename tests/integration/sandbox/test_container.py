"""The tier `container`: plain Python with native packages, and nothing of its surroundings."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from o_sandbox.container.sandbox import ContainerSandbox
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.tool import Tool

pytestmark = pytest.mark.integration


async def _run(
    source: str, grants: Mapping[str, Any] | None = None, args: Any = None, **limits: Any
) -> Outcome:
    tool = Tool("f", source, tier="container")
    bounds = Limits(**{"wall_s": 30.0, "memory_bytes": 512 << 20, **limits})
    return await ContainerSandbox().run(tool, args or {}, bounds, grants or {})


async def test_native_packages_threads_and_coroutines_work() -> None:
    source = """
import asyncio, sys, threading
import numpy

async def f(n):
    seen = []
    thread = threading.Thread(target=seen.append, args=(n,))
    thread.start()
    thread.join()
    await asyncio.sleep(0)
    print("out")
    print("err", file=sys.stderr)
    return [int(numpy.arange(n).sum()), seen]
"""
    outcome = await _run(source, args={"n": 4})
    assert outcome.value == [6, [4]], outcome.error
    assert (outcome.stdout, outcome.stderr) == ("out\n", "err\n")


async def test_reaches_nothing_of_its_surroundings(short_tmp: Path) -> None:
    path = short_tmp / "bridge.sock"
    secret = short_tmp / "secret"
    secret.write_text("canary")
    kept = os.open(secret, os.O_RDONLY)
    os.set_inheritable(kept, True)
    os.environ["O_CANARY"] = "canary"
    source = """
import os, socket, subprocess

def tried(action):
    try:
        return str(action())
    except BaseException as error:
        return type(error).__name__

def connect(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)

def f(path, secret, parent, kept):
    return {
        "bridge": tried(lambda: connect(path)),
        "network": tried(lambda: socket.create_connection(("127.0.0.1", 9), 1)),
        "file": tried(lambda: open(secret).read()),
        "memory": tried(lambda: open(f"/proc/{parent}/mem", "rb").read(1)),
        "environment": tried(lambda: open(f"/proc/{parent}/environ", "rb").read()),
        "write": tried(lambda: open("/tmp/escaped", "w")),
        "program": tried(lambda: subprocess.run(["true"])),
        "signal": tried(lambda: os.kill(parent, 0)),
        "fork": tried(os.fork),
        "inherited": tried(lambda: os.pread(kept, 6, 0)),
        "variables": sorted(os.environ),
    }
"""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        args = {"path": str(path), "secret": str(secret), "parent": os.getpid(), "kept": kept}
        found = (await _run(source, args=args)).value
    os.close(kept)
    del os.environ["O_CANARY"]
    variables = found.pop("variables")
    assert set(found.values()) <= {"PermissionError", "OSError"}, found
    assert "O_CANARY" not in variables


async def test_limits_end_a_call() -> None:
    stubborn = "import signal\ndef f():\n    signal.signal(signal.SIGPROF, print)\n    while 1: 1"
    assert (await _run("def f():\n    while True: pass", cpu_s=0.3)).reason == "timeout"
    assert (await _run(stubborn, cpu_s=0.3)).reason == "timeout"
    assert (await _run("import time\ndef f():\n    time.sleep(60)", wall_s=1.0)).reason == "timeout"
    assert (await _run("def f():\n    return len(bytearray(10 ** 9))")).reason == "memory"
    assert (await _run("def f():\n    print('x' * 9999)", output_bytes=100)).stdout == "x" * 100
    assert (await _run("import os\ndef f():\n    os._exit(3)")).reason == "trap"
    assert (await _run("def f():\n    exit(3)")).reason == "trap"
    assert (await _run("import o\ndef f():\n    o.sleep(1)")).reason == "denied"


async def test_a_scratch_folder_is_granted_and_gone_afterwards() -> None:
    source = """
import os, tempfile
def f():
    with open("note", "w") as file:
        file.write("kept")
    with tempfile.NamedTemporaryFile("w") as other:
        other.write("x")
    return [open("note").read(), os.getcwd()]
"""
    assert (await _run(source)).reason == "error"
    content, folder = (await _run(source, {"scratch": None})).value
    assert content == "kept"
    assert not os.path.exists(folder)  # noqa: ASYNC240


async def test_what_closes_its_socket_and_stays_is_not_waited_for() -> None:
    source = "import os, time\ndef f():\n    os.closerange(0, 256)\n    time.sleep(60)"
    outcome = await _run(source)
    assert (outcome.reason, outcome.error) == (
        "trap",
        "the worker closed its connection and went on",
    )
    assert outcome.used.wall_s < 20


async def test_what_ignores_signals_keeps_to_its_cpu_all_the_same() -> None:
    source = """
import signal
def f():
    for number in (signal.SIGPROF, signal.SIGXCPU, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass
"""
    outcome = await _run(source, cpu_s=0.3)
    assert outcome.reason == "timeout"
    assert 0.3 <= outcome.used.cpu_s < 0.6
