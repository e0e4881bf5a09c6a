"""What the evidence of live traffic says under a policy: a breach, enough to go on, or neither.

Three tests share one budget of error probability, divided again over the windows of a rollout, and
all are valid at every look:

- latency: a confidence sequence for the ratio of geometric means over agents. A breach when it is
  surely above the limit, a pass only when it is surely below; in between, more data is needed.
- failures: a confidence sequence for the candidate's rate. A breach when it is surely above the
  limit; where the baseline fails beyond the limit as well, it must be surely worse than that.
- the split: agents must arrive in the shares that were configured, or nothing can be compared.

Deaths of the candidate's workers are counted, not tested: the policy says how many are tolerated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from o_platform.rollout.evidence import Arm, Evidence
from o_platform.rollout.machine import Breach, Look
from o_platform.rollout.policy import Policy, TrafficRules
from o_platform.rollout.states import Reason
from o_platform.stats.budget import AlphaBudget
from o_platform.stats.confidence import mean_difference
from o_platform.stats.intervals import Interval
from o_platform.stats.rates import rate_interval
from o_platform.stats.sample_ratio import is_mismatch

_WEIGHTS: Final = {"latency": 2.0, "failures": 2.0, "split": 1.0}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one look, and the numbers behind it (JSON-ready)."""

    verdict: Look | Breach
    numbers: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Figures:
    ratio: Interval | None
    """None: latency is not compared."""
    candidate: Interval
    baseline: Interval
    agents: tuple[int, int]


def judge(
    evidence: Evidence,
    policy: Policy,
    rules: TrafficRules,
    *,
    weight_permille: int = 0,
    uncompared: str = "",
    copy_cost: float = 0.0,
) -> Judgement:
    """Judge one window.

    Args:
        evidence: what was observed in it.
        policy: the rollout's policy: its alpha and the deaths it tolerates.
        rules: the rules of the window's gate.
        weight_permille: the candidate's share of agents; 0 when agents are not split, then the
            split is not tested.
        uncompared: why there is nothing to compare with, if there is not: then latency neither
            passes nor fails, and only failures and deaths are judged.
        copy_cost: natural log of a copy's latency over an original's, where the baseline answers
            copies.
    """
    windows = len(policy.canary.steps) + 2
    budget = AlphaBudget(policy.alpha, _WEIGHTS)
    alpha = budget.share("latency", of=windows)
    ratio = None if uncompared else _latency_ratio(evidence, alpha, copy_cost)
    figures = _figures(evidence, ratio, budget.share("failures", of=2 * windows))
    verdict = (
        _deaths(evidence, policy)
        or _failures(evidence, rules, figures)
        or _latency(rules, figures)
        or _split(figures, weight_permille, budget.share("split", of=windows))
        or _look(evidence, rules, figures)
    )
    numbers = _numbers(evidence, figures) | {
        "uncompared": uncompared,
        "copy_cost": round(math.exp(copy_cost), 3),
    }
    return Judgement(verdict, numbers)


def _figures(evidence: Evidence, ratio: Interval | None, alpha: float) -> _Figures:
    return _Figures(
        ratio,
        rate_interval(evidence.candidate.tally, alpha=alpha),
        rate_interval(evidence.baseline.tally, alpha=alpha),
        _distinct_agents(evidence.candidate, evidence.baseline),
    )


def _latency_ratio(evidence: Evidence, alpha: float, copy_cost: float) -> Interval:
    candidate, baseline = evidence.candidate.latency.means(), evidence.baseline.latency.means()
    return mean_difference(candidate + copy_cost, baseline, alpha=alpha).exp()


def _distinct_agents(candidate: Arm, baseline: Arm) -> tuple[int, int]:
    """Agents per arm; one whose turn was retried on the baseline belongs to the candidate."""
    return candidate.agents.bit_count(), (baseline.agents & ~candidate.agents).bit_count()


def _deaths(evidence: Evidence, policy: Policy) -> Breach | None:
    if evidence.deaths <= policy.max_crashes:
        return None
    return Breach(
        Reason.CRASHES,
        f"the variant died {evidence.deaths} times on requests; {policy.max_crashes} are tolerated",
    )


def _failures(evidence: Evidence, rules: TrafficRules, figures: _Figures) -> Breach | None:
    limit = rules.max_error_rate
    if figures.baseline.estimate > limit:
        limit = max(limit, figures.baseline.upper)
    if figures.candidate.lower <= limit:
        return None
    arm = evidence.candidate
    return Breach(
        Reason.ERRORS,
        f"{arm.failures} of {arm.trials} requests failed, surely more than "
        f"{figures.candidate.lower:.1%}; the limit is {limit:.1%}",
    )


def _latency(rules: TrafficRules, figures: _Figures) -> Breach | None:
    if figures.ratio is None or figures.ratio.lower <= rules.max_latency_ratio:
        return None
    return Breach(
        Reason.LATENCY,
        f"{figures.ratio.estimate:.2f} times the baseline's latency, surely more than "
        f"{figures.ratio.lower:.2f}; the limit is {rules.max_latency_ratio:.2f}",
    )


def _split(figures: _Figures, weight_permille: int, alpha: float) -> Breach | None:
    share = weight_permille / 1000
    if not 0.0 < share < 1.0 or not is_mismatch(figures.agents, [share, 1 - share], alpha=alpha):
        return None
    ours, theirs = figures.agents
    return Breach(
        Reason.SAMPLE_RATIO,
        f"{ours} of {ours + theirs} agents reached the variant, but its share is {share:.1%}; "
        "nothing that was measured can be trusted",
    )


def _look(evidence: Evidence, rules: TrafficRules, figures: _Figures) -> Look:
    missing = _missing(evidence, rules, figures)
    done = f"{evidence.candidate.trials} requests"
    if figures.ratio is None:
        done += ", latency not compared"
    elif math.isfinite(figures.ratio.upper):
        done += f", latency ratio {figures.ratio.lower:.2f} … {figures.ratio.upper:.2f}"
    if missing:
        return Look(False, f"{done}; needs {missing}")
    return Look(True, f"{done}, {evidence.candidate.failures} failed")


def _missing(evidence: Evidence, rules: TrafficRules, figures: _Figures) -> str:
    if evidence.candidate.trials < rules.min_requests:
        return f"{rules.min_requests} requests"
    if figures.ratio is not None and not math.isfinite(figures.ratio.upper):
        return "more agents on both sides"
    if figures.ratio is not None and figures.ratio.upper > rules.max_latency_ratio:
        return f"a latency ratio surely below {rules.max_latency_ratio:.2f}"
    if figures.candidate.upper > rules.provable_error_rate:
        return f"a failure rate surely below {rules.provable_error_rate:.1%}"
    return ""


def _numbers(evidence: Evidence, figures: _Figures) -> dict[str, Any]:
    return {
        "window": evidence.window,
        "requests": {"candidate": evidence.candidate.trials, "baseline": evidence.baseline.trials},
        "failures": {
            "candidate": evidence.candidate.failures,
            "baseline": evidence.baseline.failures,
        },
        "deaths": evidence.deaths,
        "agents": {"candidate": figures.agents[0], "baseline": figures.agents[1]},
        "latency_ratio": None if figures.ratio is None else _ends(figures.ratio),
        "failure_rate": _ends(figures.candidate),
    }


def _ends(interval: Interval) -> dict[str, float | None]:
    ends = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    return {name: round(x, 5) if math.isfinite(x) else None for name, x in ends.items()}
