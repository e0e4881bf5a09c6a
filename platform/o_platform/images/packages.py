"""What the code in an instance imports: the project's own packages for it, and their wheels.

The wheels are taken as they are installed next to the platform (the locked versions), by the file
lists of their distributions. Bytecode is made for all of it, checked by nobody at run time
(*unchecked hash*): the image is read-only.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.requirements import Requirement

from o_platform.errors import SetupError
from o_platform.images.tarball import Entry
from o_sandbox.artifacts import ArtifactName, artifact
from o_sandbox.cache import PACKED, CompiledCache, UnsafeCacheError, default_folder
from o_sandbox.compiled import cache_key, compiled
from o_sandbox.protocol import SandboxUnavailableError

DISTRIBUTIONS: Final = (
    "httptools", "msgspec", "restrictedpython", "uvicorn", "uvloop", "wasmtime",
)  # fmt: skip
"""Distributions the agent imports; the group `agent` of pyproject.toml, without versions."""
PACKAGES: Final = ("o_agent", "o_contracts", "o_sandbox", "o_tools")
"""The project's import packages an instance may see."""

_PACKED_SUFFIX: Final = ".gz"
"""The sandbox's WebAssembly as it is carried: an instance has its compiled form."""
_ATTACKS: Final = "attacks"
"""The folder of the attack suite, which no instance needs."""
_COMPILED: Final[tuple[ArtifactName, ...]] = ("python", "quickjs")
"""What engines in instances run."""
_BUILD_ONLY: Final = frozenset({".c", ".h", ".pxd", ".pyc", ".pyi", ".pyx"})
_INSTALLER_FILES: Final = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"})
_UNCHECKED_HASH: Final = (0b01).to_bytes(4, "little")
_HEADER_BYTES: Final = 16


def package_entries(site: str, extra: Iterable[str] = ()) -> list[Entry]:
    """The agent's wheels and packages below the folder `site` of an image.

    Args:
        site: folder of third-party packages in the image, without a leading `/`.
        extra: further distributions.

    Raises:
        SetupError: a distribution is not installed.
    """
    names = sorted(closure([*DISTRIBUTIONS, *extra]))
    wheels = [entry for name in names for entry in _distribution_entries(site, name)]
    packages = [entry for name in PACKAGES for entry in _package_entries(site, name)]
    return [*wheels, *packages, *_compiled_entries(f"{site}/o_sandbox/{PACKED.name}")]


def closure(names: Iterable[str]) -> set[str]:
    """`names` and every distribution they need here, in lower case.

    Raises:
        SetupError: one is not installed.
    """
    found: set[str] = set()
    pending = [name.lower() for name in names]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += _requirements(_installed(name))
    return found


def with_bytecode(entries: Iterable[Entry]) -> Iterator[Entry]:
    """`entries`, and after each Python file the bytecode the interpreter will load for it."""
    for entry in entries:
        yield entry
        if entry.kind == "file" and entry.path.endswith(".py"):
            yield _bytecode(entry)


def _bytecode(entry: Entry) -> Entry:
    source = entry.read()
    path = PurePosixPath(importlib.util.cache_from_source(entry.path))
    known = _known_code(entry.content, source) if isinstance(entry.content, Path) else None
    code = _compile(source, f"/{entry.path}") if known is None else known
    header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source)
    return replace(entry, path=str(path), content=header + code)


def _compile(source: bytes, path: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return marshal.dumps(compile(source, path, "exec", dont_inherit=True, optimize=0))


def _known_code(path: Path, source: bytes) -> bytes | None:
    """Code already compiled from this very source: compiling the standard library takes seconds."""
    try:
        data = Path(importlib.util.cache_from_source(path, optimization="")).read_bytes()
    except OSError:
        return None
    status = path.stat()
    stamp = int(status.st_mtime).to_bytes(8, "little")[:4] + len(source).to_bytes(8, "little")[:4]
    by_time = importlib.util.MAGIC_NUMBER + bytes(4) + stamp
    return data[_HEADER_BYTES:] if data[:_HEADER_BYTES] == by_time else None


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise SetupError(f"{name} is not installed; install project-o again") from error


def _requirements(found: Distribution) -> Iterator[str]:
    for line in found.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name.lower()


def _distribution_entries(site: str, name: str) -> Iterator[Entry]:
    for file in _installed(name).files or ():
        kept = file.suffix not in _BUILD_ONLY and file.name not in _INSTALLER_FILES
        if kept and ".." not in file.parts:
            yield Entry(f"{site}/{file.as_posix()}", content=Path(str(file.locate())))


def _package_entries(site: str, name: str) -> Iterator[Entry]:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SetupError(f"the package {name} is missing; install project-o again")
    root = Path(spec.origin).parent
    for path in sorted(root.rglob("*")):
        within = path.relative_to(root).parts
        unneeded = (".pyc", _PACKED_SUFFIX)
        if path.is_file() and path.suffix not in unneeded and _ATTACKS != within[0]:
            yield Entry(f"{site}/{name}/{path.relative_to(root).as_posix()}", content=path)


def _compiled_entries(folder: str) -> Iterator[Entry]:
    """Compiled once per machine, in the user's cache, which takes some 10 s."""
    cache = CompiledCache(default_folder())
    for name in _COMPILED:
        try:
            os.close(compiled(name, cache))
        except (SandboxUnavailableError, UnsafeCacheError, RuntimeError) as error:
            raise SetupError(f"instances' images need the sandbox's engine: {error}") from error
        for path in cache.entries(cache_key(artifact(name))):
            yield Entry(f"{folder}/{path.name}", content=path)
