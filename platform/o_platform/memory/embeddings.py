"""The built-in embedding `o/hash`: feature hashing of words and of their letters.

Each text becomes 256 numbers: every word, and every run of 3 and 4 letters in it, is hashed to a
dimension and a sign; weights are damped for repetition and small for stop words; the vector is
scaled to length 1. Shared words and shared word stems make texts similar, in any language, the
same on every machine, in well under a millisecond, without a model or a network.

What it cannot do: it knows no meaning. `car` and `automobile` have nothing in common, nor do a
sentence and its translation; negation and word order are invisible; two unrelated texts come out
up to about 0.2 alike by chance (256 dimensions), long ones more evenly. Use it with full-text
search beside it (`o_platform.memory.passages` does).
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections import Counter
from typing import Final

DIMENSIONS: Final = 256
NGRAM_LENGTHS: Final = (3, 4)
NGRAM_SHARE: Final = 1.0
"""Weight of all letter runs of a word together, relative to the word itself."""
STOP_WORD_WEIGHT: Final = 0.1
STOP_WORDS: Final = frozenset(
    "a about an and are as at be but by can did do does for from had has have he her his how i if "
    "in is it its me my no not of on or our she so that the their them they this to was we were "
    "what when where which who why will with you your".split()
)

_WORD = re.compile(r"\w+")


def embed(text: str) -> list[float]:
    """The embedding of `text`: 256 numbers, of length 1; all zero for a text without words."""
    vector = [0.0] * DIMENSIONS
    words = _WORD.findall(_plain(text))
    for word, count in Counter(words).items():
        weight = (1.0 + math.log(count)) * (STOP_WORD_WEIGHT if word in STOP_WORDS else 1.0)
        _add(vector, word, weight)
        runs = _letter_runs(word)
        for run in runs:
            _add(vector, run, weight * NGRAM_SHARE / math.sqrt(len(runs)))
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else vector


def _plain(text: str) -> str:
    """Lower case, without accents: é is e, ß is ss."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _letter_runs(word: str) -> list[str]:
    padded = f"<{word}>"
    return [
        f"#{padded[start : start + length]}"
        for length in NGRAM_LENGTHS
        for start in range(len(padded) - length + 1)
    ]


def _add(vector: list[float], feature: str, weight: float) -> None:
    number = zlib.crc32(feature.encode())
    # CRCs of similar texts differ in few bits; multiplying spreads them (Knuth's constant).
    number = (number * 2_654_435_761) & 0xFFFFFFFF
    sign = 1.0 if number & 0x80000000 else -1.0
    vector[(number >> 16) % DIMENSIONS] += sign * weight
