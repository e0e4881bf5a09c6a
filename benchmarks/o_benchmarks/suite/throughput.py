"""Durable turns per second, latencies, and CPU time per turn by process.

Every window of turns has its twin on the raw path right before it, so that the ratio of the two
does not depend on what else the machine did in that minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from o_benchmarks.suite.figures import Figures, median
from o_benchmarks.suite.generator import Load, generate
from o_benchmarks.suite.processes import cpu_between, cpu_us
from o_benchmarks.suite.raw_path import raw_path
from o_benchmarks.suite.testbed import Testbed

CONCURRENCIES: Final = (1, 16, 32, 64)
KEYED_CONCURRENCY: Final = 32
WARM: Final = 1_000
_WARM_UP_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Window:
    """One run of the generator, and the CPU time that each process used meanwhile."""

    load: Load
    cpu_us: Mapping[str, float]


async def window(
    bed: Testbed,
    base_url: str,
    roots: Mapping[str, int],
    requests: Path,
    connections: int,
    *,
    key: str | None = None,
) -> Window:
    """Generate load for one window and account for it."""
    before = cpu_us(roots)
    load = await generate(
        bed.generator, base_url, requests, connections=connections, seconds=bed.window_s, key=key
    )
    return Window(load, cpu_between(before, cpu_us(roots)))


def summary(prefix: str, windows: Sequence[Window]) -> Figures:
    """The figures of some windows of the same kind; percentiles are medians of the windows'."""
    answered = sum(w.load.answered for w in windows)
    names = windows[0].cpu_us
    by_process = {name: sum(w.cpu_us[name] for w in windows) / answered for name in names}
    figures = {
        f"{prefix}.rps": answered / sum(w.load.took_us for w in windows) * 1e6,
        f"{prefix}.p50_ms": median([w.load.p50_us for w in windows]) / 1000,
        f"{prefix}.p99_ms": median([w.load.p99_us for w in windows]) / 1000,
        f"{prefix}.failed": float(sum(w.load.refused + w.load.unanswered for w in windows)),
        f"{prefix}.cpu_us": sum(by_process.values()),
        f"{prefix}.generator_us": sum(w.load.cpu_us for w in windows) / answered,
    }
    return figures | {f"{prefix}.{name}_us": used for name, used in by_process.items()}


async def measure_turns(bed: Testbed) -> Figures:
    """Turns at each concurrency, in turns with the raw path; and once with an API key."""
    agents = await bed.agents(WARM)
    turns: dict[int, list[Window]] = {c: [] for c in CONCURRENCIES}
    raw: dict[int, list[Window]] = {c: [] for c in CONCURRENCIES}
    keyed: list[Window] = []
    roots = await bed.roots()
    async with raw_path(bed.folder("raw")) as path:
        await warm_up(bed, agents)
        for _ in range(bed.rounds):
            for c in CONCURRENCIES:
                raw[c].append(await window(bed, path.base_url, path.roots, agents, c))
                turns[c].append(await window(bed, bed.base_url, roots, agents, c))
            keyed.append(
                await window(
                    bed, bed.base_url, roots, agents, KEYED_CONCURRENCY, key=bed.operator_key
                )
            )
    figures: Figures = {}
    for c in CONCURRENCIES:
        figures |= summary(f"turns.c{c}", turns[c]) | summary(f"raw.c{c}", raw[c])
        for name in ("rps", "cpu_us"):
            figures[f"turns_to_raw.c{c}.{name}_ratio"] = (
                figures[f"turns.c{c}.{name}"] / figures[f"raw.c{c}.{name}"]
            )
    return figures | summary(f"keyed.c{KEYED_CONCURRENCY}", keyed)


async def warm_up(bed: Testbed, agents: Path) -> None:
    """Send turns for a while that nothing is told of."""
    await generate(
        bed.generator, bed.base_url, agents, connections=KEYED_CONCURRENCY, seconds=_WARM_UP_S
    )
