"""Texts and vectors of topics: made by number from a seed, the same on every machine.

A topic is a place in the space of vectors and a vocabulary of its own. Its vectors lie around that
place in `SPREAD_DIMENSIONS` directions of its own, as embeddings of real texts do (independent
noise in all 384 would make every neighbour about as far as the next one). Its texts mix its words
with words of all topics, rare ones less often: after the stop words, which are not indexed, the
commonest is in a tenth of the texts, and frequency falls with rank (Zipf).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

DIMENSIONS: Final = 384
PER_TOPIC: Final = 1_000
ROUND: Final = 100
SPREAD_DIMENSIONS: Final = 32
SPREAD: Final = 0.8
"""Length of a vector's offset from its topic's place, which has length 1."""
WORDS: Final = 20_000
TOPIC_WORDS: Final = 40
TEXT_WORDS: Final = (8, 8)
"""Words of a text from its topic, and from all words."""
QUERY_WORDS: Final = (2, 1)
_SEED: Final = 20_260_801
_QUERIES: Final = 1_000_000_000
"""Numbers of topics above are those of queries about them."""
_COMMON: Final = 1 / (10 + np.arange(WORDS))
Vectors = NDArray[np.float32]


class Texts(NamedTuple):
    """Some texts and their vectors, shape (n, DIMENSIONS), each of length 1."""

    texts: list[str]
    vectors: Vectors


def rounds(topics: int) -> Iterator[Texts]:
    """`PER_TOPIC` texts of each of so many topics, by turns; in parts of `ROUND` of each."""
    for part in range(PER_TOPIC // ROUND):
        drawn = [
            _drawn(number, np.random.default_rng([_SEED, number, 2, part]), ROUND, TEXT_WORDS)
            for number in range(topics)
        ]
        texts = [one.texts[place] for place in range(ROUND) for one in drawn]
        vectors = np.stack([one.vectors for one in drawn], axis=1)
        yield Texts(texts, vectors.reshape(-1, DIMENSIONS))


def queries(topics: int, count: int) -> Texts:
    """`count` queries, each about one of `topics` topics."""
    of = np.random.default_rng([_SEED, _QUERIES]).integers(topics, size=count)
    drawn = [
        _drawn(int(number), np.random.default_rng([_SEED, _QUERIES, place]), 1, QUERY_WORDS)
        for place, number in enumerate(of)
    ]
    texts = [text for one in drawn for text in one.texts]
    return Texts(texts, np.concatenate([one.vectors for one in drawn]))


def _drawn(number: int, random: np.random.Generator, count: int, words: tuple[int, int]) -> Texts:
    own = np.random.default_rng([_SEED, number, 1])
    place = own.standard_normal(DIMENSIONS)
    directions = own.standard_normal((SPREAD_DIMENSIONS, DIMENSIONS))
    vocabulary = own.integers(WORDS, size=TOPIC_WORDS)
    offsets = random.standard_normal((count, SPREAD_DIMENSIONS)) @ directions
    scale = SPREAD / np.sqrt(SPREAD_DIMENSIONS * DIMENSIONS)
    vectors = place / np.linalg.norm(place) + offsets * scale
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    topical = random.choice(vocabulary, size=(count, words[0]))
    common = random.choice(WORDS, size=(count, words[1]), p=_COMMON / _COMMON.sum())
    rows = np.concatenate([topical, common], axis=1)
    return Texts([" ".join(map(_word, row)) for row in rows], vectors.astype(np.float32))


def _word(number: Any) -> str:
    """A word that stemming leaves apart from all others."""
    letters = ""
    rest = int(number)
    for _ in range(4):
        rest, letter = divmod(rest, 20)
        letters += "bcdfghjklmnpqrtvwxzk"[letter] + "ou"[len(letters) // 2 % 2]
    return letters + "k"
