"""How this package starts a Python process of its own."""

from __future__ import annotations

import sys


def command(module: str, *arguments: str) -> list[str]:
    """Run `module`'s `main()` in the same interpreter, with the same import path.

    The environment and the current folder have no say in it.
    """
    program = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    return [sys.executable, "-I", "-c", program, *arguments]
