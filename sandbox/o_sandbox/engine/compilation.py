"""The process that compiles what the package carries, and puts it into the cache."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import wasmtime
from wasmtime import component

from o_sandbox.artifacts import Artifact, artifact
from o_sandbox.cache import CompiledCache
from o_sandbox.compiled import cache_key
from o_sandbox.engine import configuration

_SPACE: Final = 256 * 1024 * 1024


def main() -> None:
    """`main NAME FOLDER`: fill a cache."""
    name, folder = sys.argv[1:3]
    cache = CompiledCache(Path(folder))
    wanted = artifact("python" if name == "python" else "quickjs")
    with _alone(cache.folder):
        found = cache.find(cache_key(wanted))
        if found is not None:
            os.close(found)
            return
        started = time.perf_counter()
        print(f"compiling {name} for this machine, once", file=sys.stderr, flush=True)  # noqa: T201
        cache.add(cache_key(wanted), _translated(wanted))
        took = time.perf_counter() - started
        print(f"compiled {name} in {took:.1f} s", file=sys.stderr, flush=True)  # noqa: T201


def _translated(wanted: Artifact) -> bytearray:
    engine = configuration.engine(1, _SPACE, foreign=wanted.name == "quickjs")
    if wanted.name == "python":
        return component.Component(engine, wanted.unpacked()).serialize()
    return wasmtime.Module(engine, wanted.unpacked()).serialize()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process compiles at a time; the others find its result."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
