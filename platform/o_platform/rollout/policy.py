"""By which rules a rollout is judged: one frozen model, with named presets.

Durations are seconds, shares are permille of a lineage's agents, ratios are candidate / baseline
(1.0 = the same), rates are fractions of requests. A rollout keeps a copy of its policy, so a preset
that changes later changes no running rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from o_platform.errors import BadInputError

Risk = Literal["params", "prompts", "tools", "loop"]
"""What a change touches, from harmless to not; a change of several kinds has the highest."""
RISKS: tuple[Risk, ...] = ("params", "prompts", "tools", "loop")

Approval = Literal["auto", "person"]
Ratio = Annotated[float, Field(gt=1.0, le=100.0)]
Rate = Annotated[float, Field(gt=0.0, lt=1.0)]
Seconds = Annotated[float, Field(gt=0.0, le=30 * 86_400.0)]
Permille = Annotated[int, Field(ge=1, le=1000)]


def _careful_approval() -> dict[Risk, Approval]:
    return {"params": "auto", "prompts": "auto", "tools": "person", "loop": "person"}


class Rules(BaseModel):
    """Base of every set of rules: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StaticRules(Rules):
    """What a genome's code may contain."""

    extra_imports: tuple[str, ...] = Field(
        default=(), description="modules allowed besides the usual"
    )
    code_findings: Literal["reject", "report"] = Field(
        default="reject", description="whether code that could reach out ends the rollout here"
    )
    max_bytes: int = Field(default=512 * 1024, ge=1, description="size of all files together")


class LoadRules(Rules):
    """A load test of the candidate, interleaved with a fresh instance of the stable variant."""

    rate_rps: float = Field(
        default=40.0, gt=0.0, le=5_000.0, description="requests per second, in all"
    )
    concurrency: int = Field(default=8, ge=1, le=500, description="simulated clients")
    window_s: Seconds = Field(default=2.0, description="length of one window; A/B/A/B…")
    rounds: int = Field(default=8, ge=2, le=200, description="pairs of windows")
    max_p50_ratio: Ratio = Field(
        default=1.3, description="median latency against the stable variant's"
    )
    max_p99_ratio: Ratio = Field(
        default=2.0, description="99th percentile against the stable variant's"
    )
    max_error_rate: Rate = Field(
        default=0.01, description="share of failed requests that is tolerated"
    )
    alpha: Rate = Field(default=0.01, description="error probability of the verdict")

    @property
    def seconds(self) -> float:
        """Length of the whole test."""
        return 2 * self.rounds * self.window_s


class TrafficRules(Rules):
    """How live traffic judges an instance, at every look."""

    min_requests: int = Field(ge=1, description="requests the candidate must have answered")
    max_wait_s: Seconds = Field(description="then the rollout holds with insufficient data")
    max_latency_ratio: Ratio = Field(description="mean log-latency against the baseline's")
    max_error_rate: Rate = Field(description="share of failed requests that is tolerated")
    provable_error_rate: Rate = Field(
        description="to pass, the data must rule out a share of failed requests above this"
    )

    @model_validator(mode="after")
    def _provable_is_not_tighter(self) -> Self:
        if self.provable_error_rate < self.max_error_rate:
            raise ValueError("provable_error_rate must not be below max_error_rate")
        return self


class ShadowRules(TrafficRules):
    """Copies of live turns, whose answers go nowhere."""

    mirror_permille: Permille = Field(default=200, description="share of turns that are copied")
    load_on_demand: bool = Field(
        default=False, description="after max_wait_s, make the missing requests on bench instances"
    )


class CanaryRules(TrafficRules):
    """A growing share of the lineage's agents."""

    steps: tuple[Permille, ...] = Field(default=(50, 250, 500), min_length=1, max_length=20)

    @model_validator(mode="after")
    def _steps_grow(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"canary steps must grow, got {list(self.steps)}")
        return self


class WatchRules(TrafficRules):
    """After promotion, with the old stable instance still at hand.

    The former variant gets copies of live turns meanwhile: latency is compared with theirs.
    """

    mirror_permille: Permille = Field(
        default=200, description="share of turns that are copied to the former variant"
    )
    min_seconds: Seconds = Field(default=120.0, description="watch at least this long")


class Policy(Rules):
    """Every rule of a rollout."""

    name: str = Field(max_length=64)
    description: str = ""
    alpha: Rate = Field(
        default=0.05, description="error probability of all live-traffic tests together"
    )
    max_crashes: int = Field(
        default=2, ge=0, description="worker deaths tolerated on live traffic, in all"
    )
    max_memory_ratio: float = Field(
        default=0.95,
        gt=0.0,
        le=1.0,
        description="peak memory of an instance, as a share of its limit",
    )
    static: StaticRules = StaticRules()
    load: LoadRules = LoadRules()
    shadow: ShadowRules
    canary: CanaryRules
    watch: WatchRules
    approval: dict[Risk, Approval] = Field(
        default_factory=_careful_approval,
        description="who promotes a change of each risk class",
    )
    pause_timeout_s: Seconds = Field(
        default=86_400.0, description="a longer pause ends the rollout"
    )
    hold_timeout_s: Seconds = Field(
        default=86_400.0, description="a longer lack of data ends the rollout"
    )
    approval_timeout_s: Seconds = Field(
        default=7 * 86_400.0, description="a longer wait ends the rollout"
    )

    def needs_person(self, risk: Risk) -> bool:
        """Whether a change of this risk class waits for a person before it is promoted."""
        return self.approval.get(risk, "person") == "person"


DEFAULT = Policy(
    name="default",
    description="for production: 5 % → 25 % → 50 %, tools and loop changes wait for a person",
    shadow=ShadowRules(
        min_requests=200,
        max_wait_s=900,
        max_latency_ratio=1.5,
        max_error_rate=0.01,
        provable_error_rate=0.05,
    ),
    canary=CanaryRules(
        min_requests=300,
        max_wait_s=3_600,
        max_latency_ratio=1.25,
        max_error_rate=0.01,
        provable_error_rate=0.03,
    ),
    watch=WatchRules(
        min_requests=300,
        max_wait_s=3_600,
        max_latency_ratio=1.5,
        max_error_rate=0.01,
        provable_error_rate=0.03,
    ),
)

DEMO = Policy(
    name="demo",
    description=(
        "for demonstrations only: small samples and wide limits, so that a rollout takes a minute; "
        "small regressions pass, and suspicious code is only reported, to show that it is contained"
    ),
    static=StaticRules(code_findings="report"),
    load=LoadRules(rate_rps=60.0, window_s=0.5, rounds=10, max_p50_ratio=2.0, max_p99_ratio=3.0),
    shadow=ShadowRules(
        min_requests=80,
        mirror_permille=500,
        max_wait_s=60,
        max_latency_ratio=2.5,
        max_error_rate=0.02,
        provable_error_rate=0.2,
    ),
    canary=CanaryRules(
        steps=(100, 250, 500),
        min_requests=50,
        max_wait_s=90,
        max_latency_ratio=2.0,
        max_error_rate=0.02,
        provable_error_rate=0.15,
    ),
    watch=WatchRules(
        min_requests=60,
        mirror_permille=300,
        min_seconds=4,
        max_wait_s=60,
        max_latency_ratio=2.0,
        max_error_rate=0.02,
        provable_error_rate=0.15,
    ),
    approval={"params": "auto", "prompts": "auto", "tools": "auto", "loop": "auto"},
    pause_timeout_s=3_600,
    hold_timeout_s=300,
    approval_timeout_s=3_600,
)

PRESETS: Mapping[str, Policy] = MappingProxyType({p.name: p for p in (DEFAULT, DEMO)})
"""Policies by name, as `o rollout policies` lists them."""


def find_policy(name: str) -> Policy:
    """The preset with this name.

    Raises:
        BadInputError: there is none; names those there are.
    """
    if name not in PRESETS:
        raise BadInputError(
            f"no policy {name!r}; choose one of {', '.join(PRESETS)}", field="policy"
        )
    return PRESETS[name]


def parse_policy(data: Mapping[str, object]) -> Policy:
    """A policy from JSON-ready data.

    Raises:
        BadInputError: a field is unknown, missing or out of its range; names the first one.
    """
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError(f"policy: {where}: {first['msg']}", field=f"policy.{where}") from error
