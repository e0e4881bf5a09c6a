"""Runs in the environment of a rival package, which has nothing of ours: `python FILE NAME`.

For each number on a line of standard input, one call in a guest that nobody used before; on a line
of standard output the value, and the milliseconds that the package's own call took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Double = Callable[[int], int]
_SOURCE = "def double(x):\n    return x * 2\n"


@contextmanager
def _monty() -> Iterator[Double]:
    from pydantic_monty import Monty

    with Monty() as pool:

        def double(x: int) -> int:
            with pool.checkout() as session:
                return int(session.feed_run(_SOURCE + "double(x)", inputs={"x": x}))

        yield double


@contextmanager
def _eryx() -> Iterator[Double]:
    from eryx import Sandbox

    sandbox = Sandbox()

    def double(x: int) -> int:
        return int(sandbox.execute(f"{_SOURCE}print(double({x}))").stdout)

    yield double


def main() -> None:
    """Serve until standard input ends."""
    rivals = {"monty": _monty, "eryx": _eryx}
    with rivals[sys.argv[1]]() as double:
        for line in sys.stdin:
            started = time.perf_counter()
            value = double(int(line))
            took_ms = (time.perf_counter() - started) * 1000
            sys.stdout.write(f"[{value}, {took_ms}]\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
