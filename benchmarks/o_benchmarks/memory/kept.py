"""Databases that take long to fill: kept in a folder with notes, and used again."""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from o_benchmarks.memory.bulk import Took
from o_benchmarks.suite.processes import cpu_us
from o_platform.db.embedded import EmbeddedServer
from o_platform.db.migrate import upgrade
from o_platform.db.sealing import KEY_BYTES, Key, Vault
from o_platform.testing.postgres import running_server


class Built(NamedTuple):
    """What is known of a database that was filled.

    `took` is seconds by step; `nearest` what is nearest to each query, found by comparing all.
    """

    took: Took
    nearest: list[list[int]]


Fill = Callable[[psycopg.Connection, Vault, Took], list[list[int]]]
"""Fills a migrated database; returns what is nearest to each query."""


def kept_vault(folder: Path) -> Vault:
    """A vault with the key kept in `folder`, made if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)  # PostgreSQL's user must pass
    key = folder / "key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(KEY_BYTES))
    return Vault([Key(key.read_bytes())])


@contextmanager
def kept_server(folder: Path) -> Iterator[EmbeddedServer]:
    """The folder's server for the time of the block; waits for another run that uses it."""
    kept_vault(folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with running_server(folder) as server:
            yield server


def built(folder: Path, server: EmbeddedServer, name: str, fill: Fill) -> Built:
    """What is known of the database `name`: filled now if it was not before, else migrated."""
    notes = folder / f"{name}.json"
    if notes.exists():
        upgrade(server.url_of(name))
    else:
        notes.write_text(json.dumps(_build(folder, server, name, fill)._asdict()))
    return Built(**json.loads(notes.read_text()))


def _build(folder: Path, server: EmbeddedServer, name: str, fill: Fill) -> Built:
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
    upgrade(server.url_of(name))
    took: Took = {}
    with psycopg.connect(server.url_of(name), autocommit=True) as connection:
        return Built(took, fill(connection, kept_vault(folder), took))


def postgres_cpu_us(server: EmbeddedServer) -> float:
    """CPU time of a server and of all its processes so far, in microseconds."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    return cpu_us({"server": postmaster})["server"]
