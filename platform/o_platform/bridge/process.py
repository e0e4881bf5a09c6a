"""The bridge: its parts put together, started, kept in step with the database, stopped."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from psycopg import AsyncConnection

from o_platform.agents.background_turns import delete_old_events
from o_platform.agents.past_runs import delete_old_journal, next_epoch
from o_platform.agents.step_traces import delete_old_traces
from o_platform.bridge.agent_messages import AgentMessages
from o_platform.bridge.background import Background
from o_platform.bridge.bench import BenchRecords
from o_platform.bridge.commits import GroupCommit
from o_platform.bridge.connection import Connection, Session
from o_platform.bridge.contexts import ContextCache
from o_platform.bridge.control import ControlSession
from o_platform.bridge.counters import Counters
from o_platform.bridge.documents import Documents
from o_platform.bridge.durable import DurableRecords
from o_platform.bridge.fencing import Tokens
from o_platform.bridge.host_calls import HostCalls
from o_platform.bridge.listeners import InstanceSocket, Listeners, serve
from o_platform.bridge.mcp import McpCalls
from o_platform.bridge.models import Models
from o_platform.bridge.postgres import AWAY, Pauses, Postgres
from o_platform.bridge.records import Records
from o_platform.bridge.repository import fetch_instances, record_malformed
from o_platform.bridge.search import Search
from o_platform.bridge.service import TurnService
from o_platform.bridge.sessions import InstanceSession
from o_platform.bridge.shadow import ShadowRecords
from o_platform.bridge.snapshots import Snapshots
from o_platform.bridge.tasks import Tasks
from o_platform.bridge.tools import Tools
from o_platform.bridge.turn import Caller
from o_platform.bridge.writing import EditWriter, EndedTurn, PlainWriter
from o_platform.db.announcements import Announcements, listening
from o_platform.db.engine import CHANNEL_AGENTS, CHANNEL_INSTANCES, CHANNEL_RUNS, Database
from o_platform.db.keys import KeySource, open_vault
from o_platform.errors import DatabaseUnavailableError
from o_platform.llm.budget import Budget
from o_platform.llm.builtin import BuiltinModels
from o_platform.llm.client import LlmClient
from o_platform.llm.embedding import embedders
from o_platform.llm.windows import ModelWindows
from o_platform.settings import Settings
from o_platform.tooling.fetch import Fetcher
from o_platform.tooling.mcp_sessions import McpSessions

CONTROL_MODE: Final = 0o600
COMMIT_WAIT_S: Final = 25.0
"""How long a finished turn waits for PostgreSQL; instances give up after 30 s."""
START_WAIT_S: Final = 60.0
SOCKET_RETRY_S: Final = 1.0
"""Until the next try to give every instance its socket, if one has none."""
DRAIN_S: Final = 5.0
"""How long a stop waits for commits that are under way."""
JOURNAL_AGE_S: Final = 24 * 3600.0
EVENTS_AGE_S: Final = 24 * 3600.0
"""How long a background run's events can be had after its end."""
HOUSEKEEPING_S: Final = 3600.0
_CHANNELS: Final = (CHANNEL_INSTANCES, CHANNEL_AGENTS, CHANNEL_RUNS)

_log = logging.getLogger(__name__)


class Bridge:
    """One bridge; `start`, then `stop`."""

    def __init__(self, settings: Settings, database_url: str) -> None:
        """Must be made on the event loop it runs on; nothing connects yet.

        Raises:
            SetupError: the script of the model `o/scripted` cannot be read, or the encryption key.
        """
        self._settings = settings
        self.counters = Counters()
        self.cache = ContextCache()
        self._tasks = Tasks()
        self._snapshots = Snapshots()
        self._vault = open_vault(KeySource.of(settings))
        self._database = Database(database_url, self._vault, pool_size=8)
        self._url = database_url
        self._postgres = Postgres(database_url)
        self._client = LlmClient(settings.run / "llm.sock")
        models = embedders(self._client)
        self._search = Search(self._database, models, settings.message_embedding)
        self._plain_writer = PlainWriter(self._postgres, self._vault)
        self._plain: GroupCommit[EndedTurn] = self._group_commit(self._plain_writer)
        self._thread_writer = PlainWriter(self._postgres, self._vault, threads=True)
        self._threads = self._group_commit(self._thread_writer)
        self._edited = self._group_commit(EditWriter(self._database, self.cache))
        self._background = Background(self._postgres, self._vault, self._tasks)
        self._budget = Budget(self._database, settings)
        self._models = Models(
            BuiltinModels(settings.scripted_model),
            self._client,
            self._budget,
            self._postgres,
            self._vault,
            self._tasks,
            self.counters,
            traced=settings.trace_days > 0,
        )
        documents = Documents(self._postgres, self._database, models)
        mcp = McpCalls(self._postgres, self._vault, McpSessions(self._tasks.spawn))
        self._agent_messages = AgentMessages(self._postgres, self._vault)
        self._tools = Tools(self._tasks, self.counters, documents, mcp, self._agent_messages)
        self._hosts = HostCalls(
            self._tasks, self.counters, self._models, self._postgres, self._vault, Fetcher()
        )
        root = settings.run / "instances"
        self._listeners = Listeners(root, self._service_of, self._session, self._malformed)
        self._control: asyncio.Server | None = None
        self._can_serve = asyncio.Event()

    async def start(self) -> None:
        """Listen; returns when every wanted instance has its socket.

        Raises:
            DatabaseUnavailableError: PostgreSQL does not answer for a minute.
        """
        # What needs the database is asked for side by side: everybody waits.
        in_step = asyncio.Event()
        self._tasks.spawn(self._keep_in_step(in_step))
        epoch, _ = await asyncio.gather(
            self._postgres.run(next_epoch, wait_s=START_WAIT_S), self._open_writer()
        )
        self._tokens = Tokens(epoch)
        self._durable = self._service(
            DurableRecords(
                self._postgres,
                self.cache,
                self._snapshots,
                self._plain,
                self._threads,
                self._edited,
                self._search,
                self._vault,
                ModelWindows(self._settings, self._client),
                wait_s=self._settings.turn_wait_s,
            ),
            self._background,
        )
        (self._settings.run / "instances").mkdir(mode=0o711, parents=True, exist_ok=True)
        for group in (self._plain, self._threads, self._edited):
            self._tasks.spawn(group.run())
        for work in (self._background.run, self._budget.run, self._keep_house):
            self._tasks.spawn(work())
        self._can_serve.set()
        await in_step.wait()
        self._control = await serve(
            self._settings.run / "bridge.sock", self._control_connection, CONTROL_MODE
        )

    async def stop(self) -> None:
        """Finish the commits under way, then close everything, started or not."""
        if self._control is not None:
            self._control.close()
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._plain.drained()
                await self._threads.drained()
                await self._edited.drained()
        except TimeoutError:
            _log.warning("stopped with turns that PostgreSQL did not take")
        self._listeners.close()
        await self._tasks.cancel()
        await self._client.close()
        await self._plain_writer.close()
        await self._thread_writer.close()
        await self._postgres.close()
        await self._database.close()

    async def _open_writer(self) -> None:
        # Not in the way of the first turn's commit. While PostgreSQL is away, it has to be.
        with suppress(*AWAY):
            await self._plain_writer.open()

    def _group_commit(self, writer: PlainWriter | EditWriter) -> GroupCommit[EndedTurn]:
        return GroupCommit(writer.write, self.counters, wait_s=COMMIT_WAIT_S)

    def _service(self, records: Records, background: Background | None = None) -> TurnService:
        return TurnService(
            records,
            self._tokens,
            self._tasks,
            self.counters,
            asyncio.get_running_loop(),
            wait_s=self._settings.turn_wait_s,
            background=background,
        )

    def _service_of(self, caller: Caller) -> TurnService:
        match caller.role:
            case "shadow":
                return self._service(ShadowRecords(self._snapshots, self._search))
            case "bench":
                return self._service(BenchRecords())
            case _:
                return self._durable

    def _session(self, connection: Connection, socket: InstanceSocket) -> Session:
        limit = self._settings.max_body_bytes
        return InstanceSession(connection, socket, self._models, self._tools, self._hosts, limit)

    def _control_connection(self) -> Connection:
        return Connection(
            lambda own: ControlSession(own, self.cache, self.counters, self._durable, self._vault)
        )

    def _malformed(self, caller: Caller, reason: str) -> None:
        instance_id = caller.instance_id
        count = self.counters.malformed.get(instance_id, 0) + 1
        self.counters.malformed[instance_id] = count
        _log.warning("malformed frame: %s", reason, extra={"instance_id": instance_id})
        if count & (count - 1):
            # Reported at powers of two: a broken instance must not fill the database.
            return

        async def record(connection: AsyncConnection) -> None:
            await record_malformed(connection, instance_id, reason, count)

        self._tasks.spawn(self._postgres.run(record, wait_s=START_WAIT_S))

    async def _keep_in_step(self, in_step: asyncio.Event) -> None:
        """Follow the announcements of changed instances and agents, from the state they are in."""
        pauses = Pauses()
        while True:
            try:
                async with listening(self._url, *_CHANNELS) as heard:
                    self.cache.clear()
                    complete = await self._reconcile()
                    in_step.set()
                    pauses = Pauses()
                    await self._follow(heard, complete=complete)
            except (*AWAY, DatabaseUnavailableError) as error:
                _log.warning("announcements are not heard: %s", error)
            except Exception:  # noqa: BLE001 — without it no instance would be served any more
                _log.exception("the instances could not be followed; it is tried again")
            await pauses.wait()

    async def _follow(self, heard: Announcements, *, complete: bool) -> None:
        while True:
            told = await heard.wait(None if complete else SOCKET_RETRY_S)
            said = {
                channel: [o.payload for o in told if o.channel == channel] for channel in _CHANNELS
            }
            if said[CHANNEL_AGENTS]:
                self.cache.drop(said[CHANNEL_AGENTS])
            self._agent_messages.heard(said[CHANNEL_RUNS])
            if said[CHANNEL_INSTANCES] or not complete:
                complete = await self._reconcile()

    async def _reconcile(self) -> bool:
        rows = await self._postgres.run(fetch_instances, wait_s=START_WAIT_S)
        await self._can_serve.wait()
        self._snapshots.enabled = any(row.caller.role == "shadow" for row in rows)
        return await self._listeners.reconcile(rows)

    async def _keep_house(self) -> None:
        async def delete(connection: AsyncConnection) -> None:
            await delete_old_journal(connection, JOURNAL_AGE_S)
            await delete_old_events(connection, EVENTS_AGE_S)
            await delete_old_traces(connection, self._settings.trace_days)

        while True:
            try:
                await self._postgres.run(delete, wait_s=START_WAIT_S)
            except DatabaseUnavailableError as error:
                _log.warning("the journal was not tidied up: %s", error.message)
            await asyncio.sleep(HOUSEKEEPING_S)
