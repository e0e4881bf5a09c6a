"""Timing searches one after the other: latency, and CPU time of PostgreSQL and of this process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from statistics import median, quantiles
from typing import Final

from o_benchmarks.memory.kept import postgres_cpu_us
from o_platform.db.embedded import EmbeddedServer

QUERIES: Final = 400
WARM_UP: Final = 1_000
"""Other searches before, after which most of the index is in PostgreSQL's buffers."""
COLD: Final = 100
"""The first of these, whose latency is told apart."""
Search = Callable[[int], Awaitable[object]]


async def timed(prefix: str, server: EmbeddedServer, search: Search) -> dict[str, float]:
    """Search for the first `QUERIES` queries, each by its number, after the `WARM_UP` others."""
    before_ms = await _each(search, range(QUERIES, QUERIES + WARM_UP))
    postgres, own = postgres_cpu_us(server), time.process_time()
    took_ms = await _each(search, range(QUERIES))
    used = postgres_cpu_us(server) - postgres
    return {
        f"{prefix}.cold_p50_ms": median(before_ms[:COLD]),
        f"{prefix}.p50_ms": median(took_ms),
        f"{prefix}.p99_ms": quantiles(took_ms, n=100)[-1],
        f"{prefix}.postgres_us": used / QUERIES,
        f"{prefix}.platform_us": (time.process_time() - own) * 1e6 / QUERIES,
    }


async def _each(search: Search, numbers: Iterable[int]) -> list[float]:
    """Milliseconds that the search for each of these queries takes."""
    took_ms = []
    for number in numbers:
        began = time.perf_counter()
        await search(number)
        took_ms.append((time.perf_counter() - began) * 1000)
    return took_ms
