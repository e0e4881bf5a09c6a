from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_platform.memory.ranking import fuse, pool_for

pytestmark = pytest.mark.unit

rankings = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), min_size=1, max_size=4)


def test_first_everywhere_scores_one() -> None:
    assert fuse([["a", "b"], ["a"]])[0] == ("a", 1.0)


def test_agreement_beats_one_first_place() -> None:
    fused = fuse([["a", "b", "c"], ["b", "c"]])
    assert [hit.id for hit in fused] == ["b", "c", "a"]


def test_ties_keep_the_first_rankings_order() -> None:
    assert [hit.id for hit in fuse([["a"], ["b"]])] == ["a", "b"]
    assert fuse([[], []]) == []


@given(rankings)
def test_every_id_once_with_falling_scores(lists: list[list[str]]) -> None:
    fused = fuse(lists)
    assert sorted(hit.id for hit in fused) == sorted({item for ids in lists for item in ids})
    scores = [hit.score for hit in fused]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


def test_pools_are_four_times_what_is_wanted_and_of_few_sizes() -> None:
    pools = {wanted: pool_for(wanted) for wanted in range(1, 1001)}
    assert all(pool >= 4 * wanted for wanted, pool in pools.items())
    assert len(set(pools.values())) <= 7
