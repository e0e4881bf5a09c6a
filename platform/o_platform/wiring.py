"""Builds the platform from its settings: the one place that chooses adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from o_platform.agents.block_service import BlockService
from o_platform.agents.cache import BridgeCache
from o_platform.agents.service import AgentService
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.engine import Database
from o_platform.settings import Settings
from o_tools.catalogue import SPECS


class Platform:
    """The control plane's parts."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.cache = BridgeCache(settings.run / "bridge.sock")
        self.agents = AgentService(database, self.cache, ToolCatalogue(SPECS.values()))
        self.blocks = BlockService(database, self.cache)

    def model_handles(self) -> list[str]:
        from o_platform.llm.builtin import BUILTIN_MODELS

        return list(dict.fromkeys([*BUILTIN_MODELS, *self.settings.llm_models]))

    async def require_ready(self) -> None:
        pass

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield
        await self.cache.close()
        await self.database.close()
