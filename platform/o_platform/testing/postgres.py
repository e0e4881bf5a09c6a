"""An embedded PostgreSQL for a test session, and a fresh migrated database for each test.

The migrated template is made once a session (once a machine's run under xdist, guarded by a file
lock) and cloned per test, which takes tens of milliseconds.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from o_platform.db.embedded import EmbeddedServer
from o_platform.db.migrate import upgrade

TEMPLATE = "o_template"


@contextmanager
def short_folder() -> Iterator[Path]:
    """A new folder with a short path that other users may pass through, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="o-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_server(folder: Path, options: dict[str, str] | None = None) -> Iterator[EmbeddedServer]:
    """An embedded server under `folder`, stopped (fast shutdown) at the end."""
    server = EmbeddedServer(folder / "pg", folder / "s", folder / "cache")
    server.prepare()
    process = start_server(server, options)
    try:
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


def start_server(
    server: EmbeddedServer, options: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers (30 s at most)."""
    uid, gid = server.user()
    with (server.data.parent / "postgres.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 — our own command
            server.server_command(options), stdout=log, stderr=log, user=uid, group=gid,
            extra_groups=[], cwd="/",
        )  # fmt: skip
    _wait_until_answering(server.url_of("postgres"), process)
    return process


@contextmanager
def template_server(shared: Path) -> Iterator[EmbeddedServer]:
    """The session's server with the migrated template, shared by every xdist worker.

    `shared` is a folder that all workers of the run see. The first worker starts the server; the
    last one to leave stops it.
    """
    shared.mkdir(parents=True, exist_ok=True)
    with _locked(shared / "lock"):
        members = _members(shared)
        if not members:
            folder = Path(tempfile.mkdtemp(prefix="o-", dir="/tmp"))
            folder.chmod(0o711)
            server = EmbeddedServer(folder / "pg", folder / "s", folder / "cache")
            server.prepare()
            _control(server, "start")
            upgrade(server.url_of(TEMPLATE))
            (shared / "server").write_text(str(folder))
        folder = Path((shared / "server").read_text())
        server = EmbeddedServer(folder / "pg", folder / "s", folder / "cache")
        (shared / f"member.{os.getpid()}").touch()
    try:
        yield server
    finally:
        with _locked(shared / "lock"):
            (shared / f"member.{os.getpid()}").unlink()
            if not _members(shared):
                _control(server, "stop")
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cloned_database(server: EmbeddedServer) -> Iterator[str]:
    """URL of a fresh clone of the template, dropped at the end."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    _execute(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, TEMPLATE)
    try:
        yield server.url_of(name)
    finally:
        _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)


def _execute(server: EmbeddedServer, statement: sql.SQL, *names: str) -> None:
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
        connection.execute(statement.format(*(sql.Identifier(name) for name in names)))


def _members(shared: Path) -> list[Path]:
    members = list(shared.glob("member.*"))
    return [member for member in members if Path(f"/proc/{member.suffix[1:]}").exists()]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _control(server: EmbeddedServer, action: str) -> None:
    # Through pg_ctl, which detaches the server: it must outlive the worker that started it.
    uid, gid = server.user()
    options = shlex.join(
        [*server.server_command()[3:], "-c", "fsync=off", "-c", "shared_buffers=32MB"]
    )
    command = [server.program("pg_ctl"), "-D", str(server.data), "-w", action]
    if action == "start":
        command += ["-o", options, "-l", str(server.data / "server.log")]
    subprocess.run(  # noqa: S603 — our own command
        command, check=True, stdout=subprocess.DEVNULL, user=uid, group=gid, extra_groups=[],
        cwd="/",
    )  # fmt: skip


def _wait_until_answering(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
