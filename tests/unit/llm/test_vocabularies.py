"""Tokens are counted offline, by the vocabulary that a model has."""

from __future__ import annotations

import pytest

from o_platform.llm.vocabularies import count_by_vocabulary, vocabulary_of

pytestmark = pytest.mark.unit


def test_each_model_has_its_vocabulary() -> None:
    assert vocabulary_of("openai/gpt-4o-mini") == "o200k_base"
    assert vocabulary_of("openai/gpt-4") == "cl100k_base"
    assert vocabulary_of("openai/davinci-002") == "cl100k_base"
    assert vocabulary_of("anthropic/claude-sonnet") == vocabulary_of("local/x") == "o200k_base"


def test_known_counts() -> None:
    assert count_by_vocabulary("openai/gpt-4", ["tiktoken is great!", ""]) == [6, 0]
    assert count_by_vocabulary("openai/gpt-4o", ["hello world", "<|endoftext|>"]) == [2, 7]
