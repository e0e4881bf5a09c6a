"""An amount of model calls: how many, their tokens, their price."""

from __future__ import annotations

from dataclasses import dataclass

from o_contracts.llm import LlmResult


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent; `cost_usd` counts only models with a known price."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Spending) -> Spending:
        """Both together."""
        return Spending(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost_usd + other.cost_usd,
        )


def spending_of(result: LlmResult) -> Spending:
    """What one reply cost."""
    usage = result.usage
    return Spending(1, usage.prompt_tokens, usage.completion_tokens, result.cost_usd)
