"""What LiteLLM's own list says about models: context windows and prices.

It is read as a file, because importing LiteLLM takes seconds and 160 MB.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Final

import msgspec

from o_contracts.messages import Usage

_FILE: Final = "model_prices_and_context_window_backup.json"


class ListedModel(msgspec.Struct, frozen=True):
    """An entry: tokens, and US dollars per token. Some entries hold sentences for numbers."""

    max_input_tokens: int | float | str | None = None
    max_output_tokens: int | float | str | None = None
    input_cost_per_token: int | float | str | None = None
    output_cost_per_token: int | float | str | None = None
    output_vector_size: int | float | str | None = None

    def cost_usd(self, usage: Usage) -> float:
        """Price of `usage`, without discounts for cached input; 0.0 if it is not known."""
        return usage.prompt_tokens * _number(self.input_cost_per_token) + (
            usage.completion_tokens * _number(self.output_cost_per_token)
        )


def listed_model(handle: str) -> ListedModel:
    """The entry of a handle, or of its model under any provider; an empty one if there is none."""
    listed = _price_list()
    return listed.get(handle) or listed.get(handle.partition("/")[2]) or ListedModel()


@functools.cache
def _price_list() -> dict[str, ListedModel]:
    package = importlib.util.find_spec("litellm")
    if package is None or package.origin is None:
        return {}
    path = Path(package.origin).parent / _FILE
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, ListedModel])


def _number(value: float | str | None) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
