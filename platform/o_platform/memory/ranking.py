"""Joining rankings that cannot be compared by score: reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

RANK_OFFSET: Final = 60
"""The constant k of the method: how little the very first ranks count over the next ones."""

SMALLEST_POOL: Final = 64


class Ranked(NamedTuple):
    """An id and its fused score, in [0, 1]; 1 is first place in every ranking."""

    id: str
    score: float


def pool_for(wanted: int) -> int:
    """How many of each ranking to join for so many results.

    At least four times as many, and a power of two: it is a part of statements' texts, as the
    planner must know it, and each text is prepared for itself.
    """
    return max(SMALLEST_POOL, 1 << (4 * wanted - 1).bit_length())


def fuse(rankings: Sequence[Sequence[str]]) -> list[Ranked]:
    """Every id of `rankings`, best first.

    An id scores 1 / (k + rank) in each ranking that has it, divided by the best score there is.
    Ties keep the order of the first ranking that has one of them.

    Args:
        rankings: ids, best first; an id appears at most once in each.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
    individual Rank Learning Methods", SIGIR 2009.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, passage_id in enumerate(ranking, start=1):
            scores[passage_id] = scores.get(passage_id, 0.0) + 1.0 / (RANK_OFFSET + rank)
    best = len(rankings) / (RANK_OFFSET + 1)
    ordered = sorted(scores.items(), key=lambda item: -item[1])
    return [Ranked(passage_id, score / best) for passage_id, score in ordered]
