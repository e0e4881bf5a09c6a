"""Token counts by the models' own vocabularies, as far as they come with LiteLLM.

OpenAI's models are counted by theirs. Other providers publish none that could be had without a
download, so their models are counted by the newest of these, which is an estimate. The files lie in
LiteLLM's package; nothing is ever fetched.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import tiktoken

NEWEST: Final = "o200k_base"
SHIPPED: Final = frozenset({"o200k_base", "cl100k_base"})
"""What LiteLLM has of OpenAI's vocabularies; any other would be downloaded."""
_FOLDER: Final = "litellm_core_utils/tokenizers"


def count_by_vocabulary(handle: str, texts: Sequence[str]) -> list[int]:
    """Tokens of each text to the model of this handle."""
    encoding = _encoding(vocabulary_of(handle))
    return [len(encoding.encode_ordinary(text)) for text in texts]


def vocabulary_of(handle: str) -> str:
    """The name of the vocabulary that counts for a model."""
    try:
        name = tiktoken.encoding_name_for_model(handle.rpartition("/")[2])
    except KeyError:
        return NEWEST
    return name if name in SHIPPED else NEWEST


@cache
def _encoding(name: str) -> tiktoken.Encoding:
    package = importlib.util.find_spec("litellm")
    if package is not None and package.origin is not None:
        os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(package.origin).parent / _FOLDER)
    return tiktoken.get_encoding(name)
