"""Compiles what the package carries, once per machine, in a process of its own.

Compiling starts threads, which would stay outside the engine's jail, and takes memory that the
engine need not keep.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from o_sandbox import program
from o_sandbox.artifacts import Artifact, ArtifactName, artifact
from o_sandbox.cache import CompiledCache
from o_sandbox.engine import configuration

_SPACE: Final = 256 * 1024 * 1024


def cache_key(of: Artifact) -> str:
    """What the compiled form of an artifact depends on."""
    return f"{of.name}-{of.digest[:16]}-{configuration.key()}"


def compiled(name: ArtifactName, cache: CompiledCache) -> int:
    """A file descriptor of an artifact's compiled form, which is made if it is not there yet.

    Raises:
        UnsafeCacheError: others may write the cache.
        SandboxUnavailableError: the package does not carry it.
        RuntimeError: it cannot be compiled.
    """
    key = cache_key(artifact(name))
    found = cache.find(key)
    if found is None:
        _compile_apart(name, cache)
        found = cache.find(key)
    if found is None:
        raise RuntimeError(f"{name} was compiled, but {cache.folder} does not hold it")
    return found


def main() -> None:
    """`python -m o_sandbox.engine.compilation NAME FOLDER`: fill a cache."""
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
    import wasmtime
    from wasmtime import component

    engine = configuration.engine(1, _SPACE)
    if wanted.name == "python":
        return component.Component(engine, wanted.unpacked()).serialize()
    return wasmtime.Module(engine, wanted.unpacked()).serialize()


def _compile_apart(name: str, cache: CompiledCache) -> None:
    made = program.command("o_sandbox.engine.compilation", name, str(cache.folder))
    done = subprocess.run(made, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"compiling {name} failed with status {done.returncode}")


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


if __name__ == "__main__":
    main()
