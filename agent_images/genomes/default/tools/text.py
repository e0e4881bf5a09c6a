"""Tools about texts: what language models are bad at and plain code is not."""

from __future__ import annotations

from o_agent.sdk import tool


@tool(tier="restricted")
def count_words(text: str, unique: bool = False) -> int:
    """Count the words of a text exactly.

    Args:
        text: the text to count in; words are what white space separates.
        unique: count each distinct word once, ignoring case.
    """
    words = text.split()
    return len({word.casefold() for word in words}) if unique else len(words)
