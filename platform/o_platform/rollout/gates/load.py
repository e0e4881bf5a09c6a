"""The load gate: locust at a fixed rate against the candidate and a fresh baseline, in turn.

Both are new bench instances with the same limits, so they have the same age and the same size.
Latency and failures come from Envoy's log; locust's own counts only have to agree with it. Slower
is judged by the ratio of quantiles with an interval around it: surely above the policy's limit
fails, surely below passes, anything else is undecided and tried again.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from o_platform.rollout.gates.load_plan import LoadPlan
from o_platform.rollout.machine import GateFailed, GatePassed, GateUndecided
from o_platform.rollout.policy import LoadRules
from o_platform.rollout.ports import Attempt
from o_platform.rollout.states import Gate, Reason
from o_platform.stats.intervals import Interval
from o_platform.stats.quantiles import quantile_ratio
from o_platform.stats.rates import Tally, rate_interval

LOCUSTFILE: Final = Path(__file__).resolve().parents[1] / "locustfile.py"
GRACE_S: Final = 30.0
"""How long locust may take beyond its test: it starts up, and waits for the last answers."""
MIN_REQUESTS: Final = 30
WARM_UP: Final = 0.1
"""Share of each side's first requests that count for failures but not for latency."""
AGREEMENT: Final = 0.9
"""Share of locust's requests that Envoy's log must show."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one side answered: latency of the successful requests in milliseconds, in order."""

    latency_ms: NDArray[np.float64]
    tally: Tally
    deaths: int

    @classmethod
    def of(cls, attempts: Iterable[Attempt], instance_id: str) -> Sample:
        """The sample of one instance, from Envoy's log."""
        own = [a for a in attempts if a.instance_id == instance_id and not a.cancelled]
        good = [a.duration_us for a in own if 200 <= a.status < 300 and a.duration_us is not None]
        warm = good[math.ceil(len(good) * WARM_UP) :]
        return cls(
            np.array(warm, dtype=np.float64) / 1000,
            Tally(len(own), sum(not 200 <= a.status < 300 for a in own)),
            sum(a.status == 0 for a in own),
        )

    def numbers(self) -> dict[str, Any]:
        """The figures an operator wants, JSON-ready; milliseconds."""
        quantiles = np.quantile(self.latency_ms, [0.5, 0.99]) if self.latency_ms.size else (0, 0)
        return {
            "requests": self.tally.trials,
            "failures": self.tally.failures,
            "deaths": self.deaths,
            "p50_ms": round(float(quantiles[0]), 3),
            "p99_ms": round(float(quantiles[1]), 3),
        }


@dataclass(frozen=True, slots=True)
class LocustCounts:
    """What locust counted itself, by side."""

    requests: dict[str, int]
    failures: dict[str, int]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The verdict and its numbers (JSON-ready)."""

    verdict: GatePassed | GateFailed | GateUndecided
    numbers: dict[str, Any]


class LoadError(Exception):
    """Locust itself failed; the message ends with what it printed."""


async def run_locust(plan: LoadPlan) -> LocustCounts:
    """Run the test in a process of its own; a cancelled caller ends it at once.

    Raises:
        LoadError: it crashed, took too long, or printed no result.
    """
    with tempfile.TemporaryDirectory(prefix="o-load-") as folder:
        process = await asyncio.create_subprocess_exec(
            *_command(plan),
            cwd=folder,
            env={"HOME": folder, "PATH": "/usr/bin:/bin", **plan.environment()},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(plan.seconds + GRACE_S):
                output, errors = await process.communicate()
        except TimeoutError as error:
            raise LoadError(f"locust did not end within {plan.seconds + GRACE_S:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return _parse(output, errors, process.returncode)


def judge_load(
    candidate: Sample, baseline: Sample, counts: LocustCounts, rules: LoadRules, max_deaths: int
) -> LoadReport:
    """The verdict of a finished test.

    Args:
        candidate: what the candidate answered.
        baseline: what the fresh instance of the stable variant answered.
        counts: locust's own counts.
        rules: the policy's rules of this gate.
        max_deaths: deaths of the candidate's workers that are tolerated.
    """
    p50 = quantile_ratio(candidate.latency_ms, baseline.latency_ms, 0.5, alpha=rules.alpha)
    p99 = quantile_ratio(candidate.latency_ms, baseline.latency_ms, 0.99, alpha=rules.alpha)
    numbers = {
        "candidate": candidate.numbers(),
        "baseline": baseline.numbers(),
        "p50_ratio": _ends(p50),
        "p99_ratio": _ends(p99),
        "rps": round((candidate.tally.trials + baseline.tally.trials) / rules.seconds, 1),
        "locust": {"requests": counts.requests, "failures": counts.failures},
    }
    verdict = (
        _broken_measurement(candidate, baseline, counts, rules)
        or _failing(candidate, rules, max_deaths)
        or _slower(p50, rules.max_p50_ratio, "median latency")
        or _slower(p99, rules.max_p99_ratio, "99th percentile")
        or _unsure(p50, rules)
        or GatePassed(Gate.LOAD, _summary(candidate, baseline, p50))
    )
    return LoadReport(verdict, numbers)


def _command(plan: LoadPlan) -> list[str]:
    return [
        sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", "--json",
        "--skip-log", "--users", str(plan.concurrency), "--spawn-rate", str(plan.concurrency),
        "--run-time", f"{math.ceil(plan.seconds)}s", "--stop-timeout", "5",
        "--exit-code-on-error", "0",
    ]  # fmt: skip


def _parse(output: bytes, errors: bytes, code: int | None) -> LocustCounts:
    try:
        entries = json.loads(output)
        return LocustCounts(
            {entry["name"]: int(entry["num_requests"]) for entry in entries},
            {entry["name"]: int(entry["num_failures"]) for entry in entries},
        )
    except (ValueError, KeyError, TypeError) as error:
        tail = errors.decode(errors="replace").strip()[-500:]
        raise LoadError(f"locust ended with {code} and no result: {tail}") from error


def _broken_measurement(
    candidate: Sample, baseline: Sample, counts: LocustCounts, rules: LoadRules
) -> GateUndecided | None:
    for side, sample in (("candidate", candidate), ("baseline", baseline)):
        if sample.tally.trials < AGREEMENT * counts.requests.get(side, 0):
            return _undecided(f"Envoy's log misses requests that locust sent to the {side}")
        if sample.tally.trials < MIN_REQUESTS:
            return _undecided(f"the {side} got {sample.tally.trials} requests in {rules.seconds} s")
    if rate_interval(baseline.tally, alpha=rules.alpha).lower > rules.max_error_rate:
        return _undecided(f"the baseline failed {baseline.tally.failures} requests itself")
    return None


def _failing(candidate: Sample, rules: LoadRules, max_deaths: int) -> GateFailed | None:
    tally = candidate.tally
    if candidate.deaths > max_deaths:
        said = f"died on {candidate.deaths} of {tally.trials} requests; {max_deaths} are tolerated"
        return GateFailed(Gate.LOAD, Reason.CRASHES, said)
    interval = rate_interval(tally, alpha=rules.alpha)
    if interval.lower <= rules.max_error_rate:
        return None
    said = (
        f"failed {tally.failures} of {tally.trials} requests, surely more than "
        f"{interval.lower:.1%}; the limit is {rules.max_error_rate:.1%}"
    )
    return GateFailed(Gate.LOAD, Reason.ERRORS, said)


def _slower(ratio: Interval, limit: float, what: str) -> GateFailed | None:
    if ratio.lower <= limit:
        return None
    said = (
        f"{what} {ratio.estimate:.2f} times the baseline's, surely more than {ratio.lower:.2f}; "
        f"the limit is {limit:.2f}"
    )
    return GateFailed(Gate.LOAD, Reason.LATENCY, said)


def _unsure(p50: Interval, rules: LoadRules) -> GateUndecided | None:
    if p50.upper <= rules.max_p50_ratio:
        return None
    return _undecided(
        f"median latency {p50.lower:.2f} … {p50.upper:.2f} times the baseline's; cannot tell on "
        f"which side of {rules.max_p50_ratio:.2f} it is"
    )


def _undecided(said: str) -> GateUndecided:
    return GateUndecided(Gate.LOAD, said)


def _summary(candidate: Sample, baseline: Sample, p50: Interval) -> str:
    ours, theirs = candidate.numbers(), baseline.numbers()
    return (
        f"{ours['requests']} requests, {ours['failures']} failed; p50 {ours['p50_ms']} ms "
        f"(baseline {theirs['p50_ms']}), p99 {ours['p99_ms']} ms ({theirs['p99_ms']}), "
        f"ratio {p50.lower:.2f} … {p50.upper:.2f}"
    )


def _ends(interval: Interval) -> dict[str, float | None]:
    ends = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    return {name: round(x, 4) if math.isfinite(x) else None for name, x in ends.items()}
