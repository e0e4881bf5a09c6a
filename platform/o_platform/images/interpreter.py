"""A Python interpreter taken apart: what of it an image needs, and where it goes there.

Shared libraries are the ones `ldd` names. All of them, and the loader, go to `usr/lib`, to which
the image's `/lib`, `/lib64` and `/usr/lib64` are links: so the loader's own path and its built-in
search path hold on every Linux with the usual folders, glibc or musl, without a cache or a
variable.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from o_platform.errors import SetupError
from o_platform.images.memo import FileMemo
from o_platform.images.tarball import Entry, link

PREFIX: Final = "usr/local"
LIBRARIES: Final = "usr/lib"
EXECUTABLE_MODE: Final = 0o755
_LIBRARIES_OF: Final = "shared libraries"

DESCRIBE: Final = f"""
import json, os, platform, site, sys, sysconfig, importlib.util
print(json.dumps({{
    "executable": os.path.realpath(sys.executable),
    "version": "%d.%d" % sys.version_info[:2],
    "cache_tag": sys.implementation.cache_tag,
    "magic": importlib.util.MAGIC_NUMBER.hex(),
    "machine": platform.machine(),
    "libc": platform.libc_ver()[0],
    "stdlib": os.path.dirname(os.__file__),
    "extensions": sysconfig.get_config_var("DESTSHARED"),
    "platlibdir": sys.platlibdir,
    "site": site.getsitepackages(["/{PREFIX}"])[0],
    "own_site": site.getsitepackages()[0],
}}))
"""
"""Program that prints an interpreter's description; also run inside a given base image."""

_LEFT_OUT: Final = frozenset(
    {
        "__pycache__", "site-packages", "dist-packages", "lib-dynload", "test", "tests",
        "idlelib", "tkinter", "turtle.py", "turtledemo", "lib2to3", "ensurepip", "distutils",
        "pydoc_data", "curses", "dbm", "venv", "sitecustomize.py", "usercustomize.py",
    }
)  # fmt: skip
_EXTENSION_LEFT_OUT: Final = re.compile(
    r"(_test|_ctypes_test|_xxtest|xx|_tkinter|_curses|readline|_dbm|_gdbm|nis|ossaudiodev)"
)
_LDD_LINE: Final = re.compile(r"^\s+(?:(?P<name>\S+) => )?(?P<path>/\S+|not found)(?: \(0x.*)?$")
_UNWINDER: Final = "libgcc_s.so.1"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Where an interpreter's parts are on this machine, and what its bytecode is."""

    executable: Path
    version: str
    cache_tag: str
    magic: str
    machine: str
    libc: str
    stdlib: Path
    extensions: Path
    platlibdir: str
    site: str
    """Folder of third-party packages inside an image made of it, absolute."""
    own_site: str
    """The same where it is installed now."""

    @classmethod
    def parse(cls, description: str) -> Interpreter:
        """From what `DESCRIBE` printed."""
        fields = json.loads(description)
        for name in ("executable", "stdlib", "extensions"):
            fields[name] = Path(fields[name])
        return cls(**fields)

    @property
    def image_path(self) -> str:
        """The interpreter's path inside an image made of it."""
        return f"/{PREFIX}/bin/python{self.version}"

    @property
    def flavour(self) -> str:
        """What binary wheels depend on; equal flavours run the same ones."""
        return f"{self.cache_tag} on {self.machine} with {self.libc or 'another C library'}"


def describe(executable: str) -> Interpreter:
    """Ask an interpreter about itself.

    Raises:
        SetupError: it does not run.
    """
    try:
        result = subprocess.run(  # noqa: S603
            [executable, "-I", "-c", DESCRIBE], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"the interpreter {executable} does not run: {error}") from error
    return Interpreter.parse(result.stdout)


def interpreter_entries(
    interpreter: Interpreter, wheels: Sequence[Path], memo: FileMemo
) -> list[Entry]:
    """Everything of an interpreter that its image needs; `wheels` are further shared objects.

    `memo` knows which shared libraries they need, if it was asked before.

    Raises:
        SetupError: a shared library is missing, or the standard library is not in files.
    """
    home = f"{PREFIX}/{interpreter.platlibdir}/python{interpreter.version}"
    modules = {f"{home}/{name}": path for name, path in _stdlib_files(interpreter.stdlib)}
    if f"{home}/os.py" not in modules:
        raise SetupError(f"{interpreter.stdlib} holds no Python source files; set O_BASE_IMAGE")
    needed = [interpreter.executable, *wheels]
    extensions = _extension_files(interpreter.extensions)
    libraries, broken = _remembered_libraries([*needed, *extensions], memo)
    if missing := [path for path in needed if path in broken]:
        raise SetupError(f"a shared library that {missing[0]} needs is missing; see `ldd` on it")
    modules |= {f"{home}/lib-dynload/{p.name}": p for p in extensions if p not in broken}
    entries = [Entry(name, content=path) for name, path in modules.items()]
    entries += [
        Entry(f"{LIBRARIES}/{name}", content=path, mode=EXECUTABLE_MODE)
        for name, path in libraries.items()
    ]
    return entries + _executable_entries(interpreter)


def _executable_entries(interpreter: Interpreter) -> list[Entry]:
    name = f"python{interpreter.version}"
    return [
        Entry(f"{PREFIX}/bin/{name}", content=interpreter.executable, mode=EXECUTABLE_MODE),
        link(f"{PREFIX}/bin/python3", name),
        link(f"{PREFIX}/bin/python", name),
        link("lib", LIBRARIES),
        link("lib64", LIBRARIES),
        link("usr/lib64", "lib"),
    ]


def _stdlib_files(root: Path) -> Iterator[tuple[str, Path]]:
    pending = [root]
    while pending:
        for path in pending.pop().iterdir():
            if path.name in _LEFT_OUT or path.name.startswith("config-"):
                continue
            if path.is_dir():
                pending.append(path)
            elif path.suffix == ".py":
                yield path.relative_to(root).as_posix(), path


def _extension_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.so") if not _EXTENSION_LEFT_OUT.match(path.name))


def _remembered_libraries(
    files: Sequence[Path], memo: FileMemo
) -> tuple[dict[str, Path], set[Path]]:
    def find() -> tuple[dict[str, Any], list[Path]]:
        libraries, broken = _shared_libraries(files)
        names = {name: str(path) for name, path in libraries.items()}
        return {"libraries": names, "broken": sorted(map(str, broken))}, [*libraries.values()]

    found = memo.recall(_LIBRARIES_OF, files, find)
    if found["broken"]:
        memo.forget(_LIBRARIES_OF)  # what is missing may be installed at any time
    libraries = {name: Path(path) for name, path in found["libraries"].items()}
    return libraries, {Path(path) for path in found["broken"]}


def _shared_libraries(files: Sequence[Path]) -> tuple[dict[str, Path], set[Path]]:
    """Libraries by the name they are looked up under, and the files that miss one."""
    result = subprocess.run(  # noqa: S603
        ["ldd", *map(str, files)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    libraries: dict[str, Path] = {}
    broken: set[Path] = set()
    current = files[0]
    for line in result.stdout.splitlines():
        if line.endswith(":") and line.startswith("/"):
            current = Path(line[:-1])
        elif match := _LDD_LINE.match(line):
            if match["path"] == "not found":
                broken.add(current)
                continue
            path = Path(match["path"])
            libraries[Path(match["name"] or path).name] = path
    return libraries | _unwinder(libraries), broken


def _unwinder(libraries: dict[str, Path]) -> dict[str, Path]:
    """The C library opens it by name when a thread ends early, so `ldd` does not list it."""
    folders = {path.parent for path in libraries.values()}
    found = sorted(folder / _UNWINDER for folder in folders if (folder / _UNWINDER).exists())
    return {_UNWINDER: found[0]} if found else {}
