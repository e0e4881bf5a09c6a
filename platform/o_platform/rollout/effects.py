"""What must be true in a state of a rollout; applying it again changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from o_platform.rollout.states import Phase, State


@dataclass(frozen=True, slots=True)
class Ensure:
    """An instance of the candidate runs in this role."""

    role: Literal["shadow", "canary", "stable"]


@dataclass(frozen=True, slots=True)
class Route:
    """The candidate gets these shares, of agents and of copies."""

    weight_permille: int
    mirror_permille: int


@dataclass(frozen=True, slots=True)
class Compare:
    """A shadow of the baseline runs and gets copies of this share of turns; 0: it only runs.

    If none can be started, the rollout goes on, and its row says why nothing is compared.
    """

    mirror_permille: int


@dataclass(frozen=True, slots=True)
class Stable:
    """This one is the lineage's stable variant, and no share goes to a canary or a shadow.

    Back to the baseline only if the candidate is in its place: a stable variant that somebody else
    chose meanwhile stays.
    """

    variant: Literal["candidate", "baseline"]


@dataclass(frozen=True, slots=True)
class Free:
    """Of the rollout's instances only those in this role are left."""

    keep: Literal["shadow", "canary", "stable"] | None


@dataclass(frozen=True, slots=True)
class RetireBaseline:
    """The lineage's former stable instances are gone."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The candidate has this status in the lineage."""

    status: Literal["candidate", "rejected"]


Effect: TypeAlias = Ensure | Route | Compare | Stable | Free | RetireBaseline | Mark


def effects_of(state: State) -> tuple[Effect, ...]:
    """What must be true in a state, in the order in which it is to be made true."""
    match state.phase:
        case Phase.PENDING | Phase.STATIC | Phase.BUILD | Phase.CONTRACT | Phase.LOAD:
            return (Route(0, 0),)
        case Phase.SHADOW:
            return (Ensure("shadow"), Route(0, state.plan.mirror_permille), Free("shadow"))
        case Phase.CANARY | Phase.AWAITING_APPROVAL:
            return (Ensure("canary"), Route(state.weight_permille, 0), Free("canary"))
        case Phase.PROMOTING:
            return (Ensure("stable"), Compare(0), Stable("candidate"))
        case Phase.WATCH:
            compare = Compare(state.plan.watch_mirror_permille)
            return (Ensure("stable"), Stable("candidate"), Free("shadow"), compare)
        case Phase.PROMOTED:
            return (Stable("candidate"), Free("stable"), RetireBaseline())
        case Phase.REJECTED | Phase.ROLLED_BACK:
            return (*_back(state), Free(None), Mark("rejected"))
        case Phase.ABORTED | Phase.FAILED:
            return (*_back(state), Free(None), Mark("candidate"))
        case _:
            assert_never(state.phase)


def _back(state: State) -> tuple[Effect, ...]:
    return (Stable("baseline"), Route(0, 0)) if state.switched else (Route(0, 0),)
