"""`python -m o_benchmarks.memory [sealing]`: prints figures as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from o_benchmarks.memory.sealing import sealing
from o_platform.testing.postgres import running_server, short_folder

Figures = dict[str, float]
_ALL: Final[dict[str, Callable[[str], Coroutine[Any, Any, Figures]]]] = {"sealing": sealing}


def main() -> int:
    """Measure what is named, or everything; the exit code."""
    names = sys.argv[1:] or list(_ALL)
    unknown = [name for name in names if name not in _ALL]
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(unknown)}; one of {', '.join(_ALL)}\n")
        return 2
    with short_folder() as folder, running_server(folder) as server:
        for name in names:
            figures = asyncio.run(_ALL[name](server.url_of(f"bench_{name}")))
            shown = {key: round(value, 2) for key, value in figures.items()}
            sys.stdout.write(f"{name} {json.dumps(shown)}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
