"""What the package carries in compiled form: found in the cache, or compiled once per machine.

Compiling happens in a process of its own: it starts threads, which would stay outside an engine's
jail, and takes memory that an engine need not keep.
"""

from __future__ import annotations

import subprocess

from o_sandbox import program
from o_sandbox.artifacts import Artifact, ArtifactName, artifact
from o_sandbox.cache import CompiledCache
from o_sandbox.engine import target


def cache_key(of: Artifact) -> str:
    """What the compiled form of an artifact depends on."""
    return f"{of.name}-{of.digest[:16]}-{target.key()}"


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


def _compile_apart(name: str, cache: CompiledCache) -> None:
    made = program.command("o_sandbox.engine.compilation", name, str(cache.folder))
    done = subprocess.run(made, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"compiling {name} failed with status {done.returncode}")
