"""Model calls of the platform itself (evolution): built-in models here, others by the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from o_contracts.llm import LlmDelta, LlmRequest, LlmResult
from o_platform.db.engine import Database
from o_platform.errors import LlmError
from o_platform.llm.budget import Budget
from o_platform.llm.builtin import BuiltinModels, is_builtin
from o_platform.llm.client import LlmClient
from o_platform.settings import Settings


class Completion:
    """Asks a model for a whole reply; spending is checked and booked by `request.variant`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        """Nothing connects yet.

        Raises:
            SetupError: the script of `o/scripted` cannot be read.
        """
        self.budget = Budget(database, settings)
        self._builtin = BuiltinModels(settings.scripted_model)
        self._gateway = LlmClient(settings.run / "llm.sock")

    async def __call__(self, request: LlmRequest) -> LlmResult:
        """The whole reply.

        Raises:
            LlmError: the model failed after retries, or the budget is spent.
        """
        async with aclosing(self._pieces(request)) as reply:
            async for piece in reply:
                if isinstance(piece, LlmResult):
                    return piece
        raise LlmError(f"{request.model} ended its reply without a result", model=request.model)

    async def close(self) -> None:
        """Close the connection to the gateway."""
        await self._gateway.close()

    def _pieces(self, request: LlmRequest) -> AsyncGenerator[LlmDelta | LlmResult, None]:
        if is_builtin(request.model):
            return self._builtin.complete(request)
        return self.budget.metered(request.variant, request, self._gateway.complete(request))
