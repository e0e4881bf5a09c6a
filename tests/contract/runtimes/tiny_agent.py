"""What conformance tests run as an instance: the interpreter is started with `-c` and this text.

Serves HTTP on the socket of an instance, one connection at a time: `/healthz`, `/facts` (what it
can see), `/attacks` (what it can do), `/eat` (memory without end), `/fill` and `/litter` (its
socket's folder, with bytes and with names), `/crash`. With the argument `deaf` it does not heed
SIGTERM.
"""
# ruff: noqa: BLE001, S103, T201

import json
import os
import resource
import signal
import socket
import sys
from contextlib import suppress


def attempt(action):
    try:
        return str(action())
    except Exception as error:
        return type(error).__name__


def facts(path):
    lines = open("/proc/self/status").read().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {
        "environment": sorted(os.environ),
        "genome": sorted(os.listdir(os.environ["O_GENOME"])),
        "uid": os.getuid(),
        "pid": os.getpid(),
        "capabilities": status["CapEff"],
        "no_new_privileges": status.get("NoNewPrivs"),
        "seccomp": status.get("Seccomp"),
        "data_limit": resource.getrlimit(resource.RLIMIT_DATA)[0],
        "files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "memory_limit": attempt(lambda: memory_limit()),
    }


def attacks(path):
    return {
        "root": attempt(lambda: open("/probe", "w")),
        "out": attempt(lambda: open(os.path.dirname(os.environ["O_BRIDGE_SOCKET"]) + "/x", "w")),
        "internet": attempt(lambda: socket.socket(socket.AF_INET)),
        "shell": attempt(lambda: os.stat("/bin/sh")),
        "landlock": attempt(lambda: landlock()),
        "unshare": attempt(lambda: unshare()),
    }


def memory_limit():
    for path in ("memory/memory.limit_in_bytes", "memory.max"):
        if os.path.exists("/sys/fs/cgroup/" + path):
            return int(open("/sys/fs/cgroup/" + path).read())
    raise FileNotFoundError


def system_call(*arguments):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"


def unshare():
    return system_call(272 if os.uname().machine == "x86_64" else 97, 0x10000000)


def landlock():
    return system_call(444, None, 0, 1)


def fill(path):
    written = 0
    try:
        with open(os.path.dirname(os.environ["O_AGENT_SOCKET"]) + "/junk", "wb", 0) as file:
            while written < 8 << 20:
                written += file.write(bytes(1 << 16))
    except OSError as error:
        return {"written": written, "error": error.errno}
    return {"written": written, "error": 0}


def litter(path):
    folder = os.path.dirname(os.environ["O_AGENT_SOCKET"])
    for number in range(10_000):
        try:
            os.mkdir(f"{folder}/{number}")
        except OSError:
            break
    return {"files": number}


def eat(path):
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(1 << 20)))


def crash(path):
    os._exit(3)


def serve():
    deaf = "deaf" in sys.argv
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: sys.exit(0))
    path = os.environ["O_AGENT_SOCKET"]
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(16)
    print("listening", flush=True)
    answers = {"/facts": facts, "/attacks": attacks, "/fill": fill, "/litter": litter}
    answers |= {"/eat": eat, "/crash": crash}
    while True:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(4096)
            if not request:
                continue  # whoever asked whether it is ready was cancelled
            target = request.split(b" ")[1].decode()
            body = json.dumps(answers.get(target, lambda _: {})(target)).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
            with suppress(OSError):  # likewise
                connection.sendall(head + body)


serve()
