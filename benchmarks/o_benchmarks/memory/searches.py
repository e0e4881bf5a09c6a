"""Timing searches one after the other: latency, and CPU time of PostgreSQL and of this process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from typing import Final

from o_benchmarks.memory.kept import postgres_cpu_us
from o_platform.db.embedded import EmbeddedServer

QUERIES: Final = 300
WARM_UP: Final = 100
Search = Callable[[int], Awaitable[object]]


async def timed(prefix: str, server: EmbeddedServer, search: Search) -> dict[str, float]:
    """Search `QUERIES` times after `WARM_UP` times; `search` is given each query's number."""
    for number in range(WARM_UP):
        await search(number)
    took_ms = []
    postgres, own = postgres_cpu_us(server), time.process_time()
    for number in range(WARM_UP, WARM_UP + QUERIES):
        began = time.perf_counter()
        await search(number)
        took_ms.append((time.perf_counter() - began) * 1000)
    used = postgres_cpu_us(server) - postgres
    return {
        f"{prefix}.p50_ms": median(took_ms),
        f"{prefix}.p99_ms": quantiles(took_ms, n=100)[-1],
        f"{prefix}.postgres_us": used / QUERIES,
        f"{prefix}.platform_us": (time.process_time() - own) * 1e6 / QUERIES,
    }
