"""Full-text search over sealed texts: marks of word stems instead of words.

A text's vector (`tsvector`) holds the mark of each stem (`sealing.Key.mark`) at its positions, so
that PostgreSQL finds and ranks texts without knowing a word. It sees which texts have words in
common, and how often; which words these are it could only learn with the key.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Final

from Stemmer import Stemmer

from o_platform.db.sealing import Key, Vault

LAST_POSITION: Final = 16_383
"""PostgreSQL counts no further."""
LONGEST_WORD: Final = 100
"""Characters; longer runs of letters are no words."""
STOP_WORDS: Final = frozenset(
    "a about above after again all am an and any are as at be because been before being below "
    "between both but by can did do does doing don down during each few for from further had has "
    "have having he her here hers herself him himself his how i if in into is it its itself just "
    "me more most my myself no nor not now of off on once only or other our ours ourselves out "
    "over own s same she should so some such t than that the their theirs them themselves then "
    "there these they this those through to too under until up very was we were what when where "
    "which while who whom why will with you your yours yourself yourselves".split()
)
PAIRED: Final = 8
"""Words of a query of which pairs are made: the longest, which are seldom the commonest."""
_WORD: Final = re.compile(r"[^\W_]+")
_english = Stemmer("english", 0)


def vector(vault: Vault, text: str) -> str:
    """The text's marks and their positions, as a literal of `tsvector`."""
    places: dict[str, list[str]] = {}
    mark = vault.current.mark
    for position, stem in _stems(text):
        places.setdefault(mark(stem), []).append(str(min(position, LAST_POSITION)))
    return " ".join(f"'{word}':{','.join(at)}" for word, at in places.items())


class Query:
    """Literals of `tsquery` for texts with all words of a query, with two of them, with any."""

    __slots__ = ("all_words", "any_word", "two_words")

    def __init__(self, vault: Vault, text: str) -> None:
        """All are empty if the query has no words; a key of each rotation is asked for."""
        stems = list(dict.fromkeys(stem for _, stem in _stems(text)))
        words = [_one_of(vault.keys, stem) for stem in stems]
        self.all_words = " & ".join(words)
        self.any_word = " | ".join(words)
        longest = sorted(stems, key=len, reverse=True)[:PAIRED]
        pairs = combinations([_one_of(vault.keys, stem) for stem in longest], 2)
        self.two_words = " | ".join(f"({first} & {second})" for first, second in pairs)

    def __bool__(self) -> bool:
        """Whether there is a word to look for."""
        return bool(self.any_word)


def stems(text: str) -> set[str]:
    """The stems of a text."""
    return {stem for _, stem in _stems(text)}


def _one_of(keys: Iterable[Key], stem: str) -> str:
    marks = (f"'{key.mark(stem)}'" for key in keys)
    return f"({' | '.join(marks)})"


def _stems(text: str) -> Iterator[tuple[int, str]]:
    for position, word in enumerate(_words(text), 1):
        if word not in STOP_WORDS:
            yield position, _english.stemWord(word)


def _words(text: str) -> Sequence[str]:
    plain = text.casefold()
    if not plain.isascii():
        letters = unicodedata.normalize("NFKD", plain)
        plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return [word for word in _WORD.findall(plain) if len(word) <= LONGEST_WORD]
