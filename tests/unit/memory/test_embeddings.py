from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_platform.db.models.memory import INDEXED_DIMENSIONS
from o_platform.memory.embeddings import DIMENSIONS, embed

pytestmark = pytest.mark.unit


def similarity(a: str, b: str) -> float:
    return sum(x * y for x, y in zip(embed(a), embed(b), strict=True))


def test_dimensions_are_those_of_the_column() -> None:
    assert DIMENSIONS in INDEXED_DIMENSIONS


@given(st.text(max_size=200))
def test_vectors_are_of_length_one_or_zero(text: str) -> None:
    vector = embed(text)
    assert len(vector) == DIMENSIONS
    length = math.sqrt(sum(value * value for value in vector))
    assert length == pytest.approx(1.0) or not any(vector)


def test_the_same_everywhere() -> None:
    """Stored vectors must stay comparable: a changed value needs a migration."""
    vector = embed("tea")
    features = {n: round(value, 4) for n, value in enumerate(vector) if value}
    assert features == {
        108: -0.7071,
        132: -0.3162,
        163: 0.3162,
        170: -0.3162,
        206: -0.3162,
        237: -0.3162,
    }


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("what drinks do I like", "I like green tea", "the deploy failed on Monday"),
        ("timeouts", "the request timed out: timeout of 3 s", "prompt made shorter"),
        ("Straßenbahn", "die Strassenbahnen fahren spät", "das Wetter ist gut"),
        ("résumé", "Resumes and RÉSUMÉS", "summary of the meeting"),
    ],
)
def test_shared_words_and_stems_are_nearer(query: str, near: str, far: str) -> None:
    assert similarity(query, near) > 0.16
    assert similarity(query, near) > similarity(query, far) + 0.1


def test_unrelated_texts_are_not_alike() -> None:
    assert abs(similarity("purple elephants dance", "retry budget exhausted")) < 0.15
    assert not any(embed(" … !"))
