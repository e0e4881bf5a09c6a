"""The control plane's parts, and their life: built, brought up in the background, shut down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from o_platform.agents.agent_files.service import AgentFileService
from o_platform.agents.archive_service import ArchiveService
from o_platform.agents.background_service import BackgroundService
from o_platform.agents.block_service import BlockService
from o_platform.agents.cache import BridgeCache
from o_platform.agents.conversation_service import ConversationService
from o_platform.agents.folder_service import FolderService
from o_platform.agents.reading_service import ReadingService
from o_platform.agents.running_turns import RunningTurnsOfBridge
from o_platform.agents.service import AgentService
from o_platform.agents.takeover import Takeover
from o_platform.agents.tool_service import ToolService
from o_platform.agents.tools import ToolCatalogue
from o_platform.agents.turn_client import TurnClient
from o_platform.clock import SystemClock
from o_platform.db.engine import (
    CHANNEL_EMBEDDINGS,
    CHANNEL_FILES,
    CHANNEL_INSTANCES,
    CHANNEL_ROUTES,
    CHANNEL_RUN_EVENTS,
    CHANNEL_RUNS,
    CHANNEL_SCHEDULES,
    CHANNEL_SEALING,
    Database,
)
from o_platform.db.hearing import Hearing
from o_platform.db.keys import KeySource, open_vault
from o_platform.db.models import Lineage
from o_platform.errors import SetupError, UnavailableError
from o_platform.images.repository import DEFAULT_LINEAGE
from o_platform.llm.client import LlmClient
from o_platform.llm.embedding import embedders
from o_platform.settings import Settings
from o_platform.tooling.fetch import Fetcher
from o_platform.tooling.mcp_service import McpService
from o_platform.tooling.runs import ToolRuns
from o_platform.wiring.background import BackgroundKeeper
from o_platform.wiring.board import Board
from o_platform.wiring.callbacks import Callbacks
from o_platform.wiring.demand import Demand
from o_platform.wiring.embedding_keeper import EmbeddingKeeper
from o_platform.wiring.file_keeper import FileKeeper
from o_platform.wiring.recall_keeper import RecallKeeper
from o_platform.wiring.run_news import RunNews
from o_platform.wiring.scheduler import Scheduler
from o_platform.wiring.sealing_keeper import SealingKeeper
from o_platform.wiring.seed import seed
from o_platform.wiring.stable import StableKeeper
from o_platform.wiring.supervisor_events import SupervisorEvents
from o_sandbox.tiers import local_tiers
from o_tools.catalogue import SPECS

if TYPE_CHECKING:
    from o_platform.llm.catalogue import ModelInfo
    from o_platform.rollout.service import RolloutService
    from o_platform.wiring.delivery import Delivery
    from o_platform.wiring.ground import Ground

SEED: Final = "seed"
GROUND: Final = "engine and routes"
BUILD: Final = "parts"
ADOPT: Final = "adoption of instances"
EVENTS: Final = "supervisor events"
HEARING: Final = "announcements"
ROUTES: Final = "routes"
WATCH: Final = "watch over instances"
STABLE: Final = "stable instances"
BUDGET: Final = "budgets"
LAUNCH: Final = "workflows"
ROLLOUTS: Final = "rollouts"
SCHEDULES: Final = "scheduled turns"
EMBEDDINGS: Final = "embeddings"
BACKGROUND: Final = "background runs"
FILES: Final = "reading of documents"
NEWS: Final = "news of runs"
RECALL: Final = "index of messages"
SEALING: Final = "sealing of data at rest"
STAGES: Final = (SEED, GROUND, BUILD, ADOPT, LAUNCH)
"""What is done once, in this order, but for adoption: it mostly waits, so parts are built then."""
ALWAYS: Final = (
    HEARING, EVENTS, NEWS, ROUTES, WATCH, STABLE, BUDGET, ROLLOUTS, SCHEDULES, EMBEDDINGS, FILES,
    BACKGROUND, RECALL, SEALING,
)  # fmt: skip
"""What runs as long as the control plane does."""
CHANNELS: Final = (
    CHANNEL_INSTANCES, CHANNEL_ROUTES, CHANNEL_RUNS, CHANNEL_RUN_EVENTS, CHANNEL_SCHEDULES,
    CHANNEL_EMBEDDINGS, CHANNEL_FILES, CHANNEL_SEALING,
)  # fmt: skip
"""What the control plane hears. Agents that change concern the bridge alone."""
STEERING: Final = "o_platform.wiring.steering"
"""A module that takes a moment to import where no zygote has done so."""
_STARTING: Final = "the control plane is still starting; try again in a second"
_NOT_UP: Final = ("waiting", "failed")
Work = Callable[[], Awaitable[None]]


class Platform:
    """Everything the API needs; it serves agents and steers rollouts before `running` has begun."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Nothing connects yet."""
        self.settings = settings
        self.database = database
        self.board = Board(SystemClock())
        for name in (*STAGES, *ALWAYS):
            self.board.write(name, "waiting")
        self.cache = BridgeCache(settings.run / "bridge.sock")
        self.hearing = Hearing(database.url, *CHANNELS)
        self.sealing = SealingKeeper(database, self.hearing, self.cache, KeySource.of(settings))
        self.running_turns = RunningTurnsOfBridge(settings.run / "bridge.sock")
        catalogue = ToolCatalogue(SPECS.values())
        self.agents = AgentService(database, self.cache, catalogue)
        self.tools = ToolService(database, self.cache, catalogue)
        self.agent_files = AgentFileService(database, catalogue, self.tools)
        self.sandbox = local_tiers(restricted_workers=1)
        self.conversations = ConversationService(database, self.cache)
        self.blocks = BlockService(database, self.cache)
        self.tool_runs = ToolRuns(self.sandbox, Fetcher(), self.blocks)
        self.gateway = LlmClient(settings.run / "llm.sock")
        self.embedders = embedders(self.gateway)
        self.archives = ArchiveService(database, self.embedders)
        self.takeover = Takeover(
            database, self.cache, catalogue, self.embedders, settings.default_model
        )
        self.mcp = McpService(database, self.cache)
        self.folders = FolderService(database, self.cache, self.embedders)
        self.reading = ReadingService(database, self.cache)
        self.turns = TurnClient(settings.run / "internal.sock")
        self.background = BackgroundService(database)
        self.run_news = RunNews(self.hearing)
        self.demand = Demand()
        self.brought_up = asyncio.Event()
        """Set when everything in the background has been started once."""
        self._ground: Ground | None = None
        self._delivery: Delivery | None = None
        self._steering: RolloutService | None = None

    async def models(self) -> list[ModelInfo]:
        """The models on offer.

        Endpoints of `O_LLM_BASE_URLS` are asked through the LLM gateway, which starts for that.
        """
        from o_platform.llm.catalogue import list_models

        return await list_models(self.settings, self.gateway)

    async def require_ready(self) -> None:
        """Return if agents can be served.

        Raises:
            UnavailableError: the database does not answer, or is not seeded yet.
        """
        wanted = select(Lineage.name).where(Lineage.name == DEFAULT_LINEAGE)
        async with self.database.unit_of_work() as session:
            if await session.scalar(wanted) is None:
                raise UnavailableError("the database is being seeded; try again")

    @property
    def ground(self) -> Ground:
        """Routes and instances.

        Raises:
            UnavailableError: they are not there yet.
        """
        if self._ground is None:
            raise UnavailableError(_STARTING)
        return self._ground

    @property
    def delivery(self) -> Delivery:
        """The parts that deliver variants.

        Raises:
            UnavailableError: they are not built yet.
        """
        if self._delivery is None:
            raise UnavailableError(_STARTING)
        return self._delivery

    async def rollouts(self) -> RolloutService:
        """Steers rollouts; available before everything that carries them out is."""
        if self._delivery is not None:
            return self._delivery.rollouts
        if self._steering is None:
            module = await asyncio.to_thread(import_module, STEERING)
            self._steering = module.steering(self.database, self.settings)
        return self._steering

    def coming(self) -> list[str]:
        """Names of what is not up yet."""
        return [name for name, note in self.board.notes.items() if note.condition in _NOT_UP]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work in the background while the context is open."""
        try:
            async with asyncio.TaskGroup() as tasks:
                background = tasks.create_task(self._background())
                yield
                background.cancel()
        finally:
            await self.close()

    async def close(self) -> None:
        """End everything that was opened on the way."""
        await self.sandbox.close()
        if self._delivery is not None:
            await self._delivery.close()
        if self._ground is not None:
            await self._ground.close()
        await self.turns.close()
        await self.gateway.close()
        await self.cache.close()
        await self.database.close()

    async def _background(self) -> None:
        events = SupervisorEvents(self.database, self.settings.home / "log" / "events.jsonl")
        async with asyncio.TaskGroup() as tasks:

            def always(name: str, work: Work) -> None:
                tasks.create_task(self.board.keep_running(name, work))

            always(HEARING, self.hearing.run)
            always(EVENTS, events.run)
            always(NEWS, self.run_news.run)
            await self.board.keep_running(SEED, lambda: seed(self.database))
            await self.board.keep_running(GROUND, self._lay_ground)
            ground = self.ground
            always(ROUTES, lambda: ground.traffic.run(self.hearing))
            async with asyncio.TaskGroup() as stages:
                stages.create_task(self.board.keep_running(ADOPT, ground.adopt))
                stages.create_task(self.board.keep_running(BUILD, self._build))
            delivery = self.delivery
            always(WATCH, ground.fleet.watch)
            always(STABLE, StableKeeper(self.database, self.hearing, ground.fleet).run)
            always(BUDGET, delivery.completion.budget.run)
            await self.board.keep_running(LAUNCH, delivery.workflows.launch)
            always(ROLLOUTS, delivery.rollout_runtime.run)
            embedding = EmbeddingKeeper(self.database, self.hearing, self.embedders)
            always(EMBEDDINGS, embedding.run)
            always(FILES, FileKeeper(self.database, self.hearing, self.cache).run)
            recall = RecallKeeper(
                self.database, self.embedders, self.settings.message_embedding, self.demand
            )
            always(RECALL, recall.run)
            always(SEALING, self.sealing.run)
            scheduler = Scheduler(self.database, self.hearing, self.turns, SystemClock())
            always(SCHEDULES, scheduler.run)
            always(BACKGROUND, self._background_keeper().run)
            self.brought_up.set()

    def _background_keeper(self) -> BackgroundKeeper:
        callbacks = Callbacks(self.database, Fetcher(), self.settings.callback_hosts)
        return BackgroundKeeper(
            self.database, self.hearing, self.turns, self.running_turns, callbacks
        )

    async def _lay_ground(self) -> None:
        # Imported in a thread, as parts are: it takes a moment, and requests are served meanwhile.
        module = await asyncio.to_thread(import_module, "o_platform.wiring.ground")
        self._ground = await module.build_ground(self.settings, self.database)

    async def _build(self) -> None:
        module = await asyncio.to_thread(import_module, "o_platform.wiring.delivery")
        ground = self.ground
        self._delivery = await module.build_delivery(
            self.settings, self.database, ground.traffic, ground.fleet
        )


def build_platform(settings: Settings) -> Platform:
    """The platform of these settings.

    Raises:
        SetupError: `DATABASE_URL` is not set: whoever starts the control plane sets it; or the
            encryption key is missing.
    """
    if settings.database_url is None:
        raise SetupError("DATABASE_URL is not set; `o up` sets it, or start with it")
    vault = open_vault(KeySource.of(settings))
    database = Database(settings.database_url.get_secret_value(), vault)
    return Platform(settings, database)
