"""Texts are cut where a reader would, and nothing of them is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_platform.memory.chunks import chunked

pytestmark = pytest.mark.unit


def test_pieces_end_before_headings_and_know_their_line() -> None:
    text = "# One\n\nfirst text\n\n# Two\n\nsecond text"
    assert [(piece.line, piece.text) for piece in chunked(text, 24)] == [
        (1, "# One\n\nfirst text"),
        (4, "\n# Two\n\nsecond text"),
    ]


def test_a_long_line_is_cut_after_a_sentence() -> None:
    text = "A sentence is here. Another one follows it. And a third."
    pieces = [piece.text for piece in chunked(text, 30)]
    assert pieces[0] == "A sentence is here."
    assert " ".join(pieces) == text


@given(st.text(st.sampled_from("ab. \n#"), max_size=400), st.integers(5, 60))
def test_nothing_is_lost_and_no_piece_too_long(text: str, size: int) -> None:
    pieces = chunked(text, size)
    assert all(0 < len(piece.text) <= size for piece in pieces)
    assert "".join("".join(p.text for p in pieces).split()) == "".join(text.split())
