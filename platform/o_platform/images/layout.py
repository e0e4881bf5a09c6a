"""What files a genome may hold: where, under which names, how many, and that they are text."""

from __future__ import annotations

import re
import warnings
from typing import Final

from o_platform.errors import BuildError

MAX_FILES: Final = 256
MAX_BYTES: Final = 2 * 1024 * 1024
MAX_PYTHON_BYTES: Final = 256 * 1024
"""Of one Python file: compiling takes up to 300 times its size in memory, here and in instances."""
MAX_PATH: Final = 200

_FOLDERS: Final = {
    "prompts": "texts",
    "blocks": "memory policy",
    "tools": "Python files, directly in it",
    "loop": "Python files, directly in it",
    "tests": "tests",
}
_PYTHON_ONLY: Final = frozenset({"tools", "loop"})
_TOP_FILE: Final = "genome.toml"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MODULE: Final = re.compile(r"[a-z_][a-z0-9_]*\.py")


def check_path(path: str) -> None:
    """Check that a genome may have a file at `path` (relative, with `/`).

    Raises:
        BuildError: it may not; says why, and what a genome looks like.
    """
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        raise _refused(path, "leaves the genome; paths are relative and have no `..`")
    if len(path) > MAX_PATH or not all(_NAME.fullmatch(part) for part in parts):
        raise _refused(
            path,
            f"has an odd name; use letters, digits, `_`, `-` and `.`, at most {MAX_PATH} in all",
        )
    if path == _TOP_FILE:
        return
    folder = parts[0]
    if len(parts) == 1 or folder not in _FOLDERS:
        allowed = ", ".join(f"{name}/" for name in _FOLDERS)
        raise _refused(path, f"is not a gene; a genome holds {_TOP_FILE}, {allowed}")
    if folder in _PYTHON_ONLY and (len(parts) != 2 or not _MODULE.fullmatch(parts[1])):
        raise _refused(path, f"does not belong in {folder}/, which holds {_FOLDERS[folder]}")


def check_text(path: str, data: bytes) -> None:
    """Check that a file is UTF-8 text: genes are read, compared and edited as text.

    Raises:
        BuildError: it is not.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _refused(path, f"is not UTF-8 text (byte {error.start}); genes are text") from error
    if "\0" in text:
        raise _refused(path, "holds a NUL character; genes are text")


def check_python(path: str, data: bytes) -> None:
    """Check that a Python file compiles, and is of a size that may be compiled.

    Raises:
        BuildError: it does not (names `file:line`), or is too large.
    """
    if len(data) > MAX_PYTHON_BYTES:
        raise _refused(path, f"is larger than {MAX_PYTHON_BYTES} bytes; split it, or say less")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(data, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        line = error.lineno or 1
        raise BuildError(
            f"{path}:{line}: {error.msg}; mend the syntax", file=path, line=line
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise _refused(path, f"cannot be compiled: {error or type(error).__name__}") from error


def _refused(path: str, why: str) -> BuildError:
    return BuildError(f"{path[:MAX_PATH]} {why}", file=path[:MAX_PATH])
