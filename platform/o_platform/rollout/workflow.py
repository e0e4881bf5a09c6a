"""Rollouts as durable workflows, and the DBOS engine that every workflow of the process shares.

A workflow is named by its rollout's id and passes nothing else: the row holds the content. Each
step is a stretch of the controller's work, up to a transition; what a step did is in the row, so a
step that a crash cut short is simply done again. A rollout that only waits for an operator waits
for a DBOS message, which the service sends after it wrote the wish to the row.

DBOS knows one engine and one set of functions per process, and this module keeps that to itself:
`DurableEngine` is made once, `RolloutRuntime` binds itself, on whose controller the functions work.
DBOS leaves the workflows of an engine that it stops running, on a database that is closed next: so
each says that it is `under_way`, and the engine ends those first. They go on at the next launch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_error

from o_platform.clock import Clock, SystemClock
from o_platform.db.engine import Database
from o_platform.errors import NotFoundError, UnavailableError
from o_platform.rollout import repository
from o_platform.rollout.case import Case
from o_platform.rollout.observations import LogMark, ObservationHub
from o_platform.rollout.ports import AttemptLog, FleetPort, TrafficPort
from o_platform.rollout.service import RolloutService
from o_platform.rollout.signals import Signals
from o_platform.settings import Settings
from o_platform.traffic.controller import TrafficController
from o_platform.traffic.process import envoy_paths
from o_platform.traffic.upstream_log import LogPosition, UpstreamLog

if TYPE_CHECKING:
    from o_platform.rollout.controller import RolloutController

APPLICATION_VERSION: Final = "1"
"""Constant, so that an upgraded control plane goes on with the workflows of the old one."""
EXECUTOR: Final = "control"
"""Constant, so that a restarted control plane finds its own workflows."""
SCHEMA: Final = "dbos"
CONNECTIONS: Final = 6
TOPIC: Final = "wishes"
RETRY_S: Final = 1.0
SWEEP_S: Final = 10.0
"""Between two looks for rollouts without a workflow, in seconds."""
STOP_S: Final = 5.0
"""How long workflows may take to let go of what they hold; the supervisor grants the process 10."""
_LOGGER = logging.getLogger(__name__)
_bound: list[RolloutRuntime] = []
_under_way: set[asyncio.Task[Any]] = set()


class DurableEngine:
    """DBOS on the platform's own PostgreSQL, in a schema of its own."""

    def __init__(self, database_url: str) -> None:
        """`database_url` is a plain `postgresql://` URL; nothing connects yet."""
        DBOS(
            config=DBOSConfig(
                name="project-o",
                system_database_url=database_url,
                dbos_system_schema=SCHEMA,
                application_version=APPLICATION_VERSION,
                executor_id=EXECUTOR,
                sys_db_pool_size=CONNECTIONS,
                log_level="WARNING",
            )
        )

    def launch(self) -> None:
        """Migrate the schema, and go on with the workflows that a crash interrupted.

        Call it in the event loop the workflows shall run in, after everything they need is bound.
        It blocks for a moment.
        """
        DBOS.launch()

    async def close(self) -> None:
        """Stop; unfinished workflows go on at the next launch."""
        running = list(_under_way)
        for task in running:
            task.cancel()
        if running:
            _, hanging = await asyncio.wait(running, timeout=STOP_S)
            if hanging:
                _LOGGER.warning("%d workflows did not stop within %g s", len(hanging), STOP_S)
        await asyncio.to_thread(DBOS.destroy)


@contextmanager
def under_way() -> Iterator[None]:
    """What the body of every workflow is wrapped in."""
    task = asyncio.current_task()
    assert task is not None, "a workflow runs in a task"  # noqa: S101 - DBOS sees to it
    _under_way.add(task)
    try:
        yield
    finally:
        _under_way.discard(task)


class RolloutRuntime:
    """Everything about rollouts in one control plane: service, controller, observations."""

    def __init__(
        self,
        database: Database,
        fleet: FleetPort,
        traffic: TrafficPort,
        settings: Settings,
        log: AttemptLog,
        *,
        clock: Clock | None = None,
    ) -> None:
        """Build the parts and bind them to the workflows of this process.

        Args:
            database: the platform's database.
            fleet: starts instances.
            traffic: puts routes in force.
            settings: limits and sockets.
            log: Envoy's log of attempts, from the place that `stored_mark` tells.
            clock: tells the time; absent: the machine's.
        """
        self._database = database
        self._fleet = fleet
        self._traffic = traffic
        self._settings = settings
        self._hub = ObservationHub(log)
        self._signals = Signals()
        self._clock = clock or SystemClock()
        self._controller: RolloutController | None = None
        self._building = asyncio.Lock()
        self.service = RolloutService(
            database, traffic, self._signals, self._clock, begin=_begin, wake=_wake
        )
        _bound[:] = [self]

    async def controller(self) -> RolloutController:
        """What carries rollouts forward; made for the first one, without blocking the loop."""
        async with self._building:
            if self._controller is None:
                self._controller = await asyncio.to_thread(self._build)
        return self._controller

    def _build(self) -> RolloutController:
        # Importing numpy and scipy takes a second and 60 MB: not in a start, only where they judge.
        from o_platform.rollout.assembly import build_controller

        return build_controller(
            self._database, self._fleet, self._traffic, self._settings, self._hub,
            self._signals, self._clock,
        )  # fmt: skip

    async def run(self) -> None:
        """Read the log, and see to it that every rollout under way has its workflow, for ever.

        Call it after `DurableEngine.launch`.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hub.run())
            while True:
                await self._begin_all()
                await asyncio.sleep(SWEEP_S)

    async def _begin_all(self) -> None:
        """See to rollouts and wishes that were stored without their workflow being told.

        A crash between the two leaves them so, and whoever stands in for this process does.
        """
        try:
            async with self._database.unit_of_work() as session:
                rows = await repository.active_rollouts(session)
            for row in rows:
                await _begin(row.id)
                if row.intent is not None:
                    await _wake(row.id)
        except UnavailableError as error:
            _LOGGER.warning("rollouts under way are not looked for: %s", error.message)


async def connect_rollouts(
    database: Database, fleet: FleetPort, traffic: TrafficController, settings: Settings
) -> RolloutRuntime:
    """The runtime on the real Envoy, whose log is read on from where the last process stopped."""
    mark = await stored_mark(database)
    start = None if mark is None else LogPosition(mark.inode, mark.offset)
    path = Path(envoy_paths(settings).upstream_log)
    log = UpstreamLog(path, traffic.admin, start=start)
    return RolloutRuntime(database, fleet, traffic, settings, log)


async def stored_mark(database: Database) -> LogMark | None:
    """Up to where the rollouts under way have read Envoy's log; None: there are none.

    The newest place of all: another rollout misses a look's worth of lines, none counts any twice.
    """
    async with database.unit_of_work() as session:
        rows = await repository.active_rollouts(session)
    newest_first = sorted(rows, key=lambda row: row.updated_at, reverse=True)
    marks = (Case.of(row).mark for row in newest_first)
    return next((mark for mark in marks if mark is not None), None)


@DBOS.workflow(name="rollout", max_recovery_attempts=None)
async def _rollout(rollout_id: str) -> None:
    with under_way():
        while True:
            outlook = await _stretch(rollout_id)
            if outlook["done"]:
                return
            if outlook["wait_s"]:
                await DBOS.recv_async(TOPIC, timeout_seconds=outlook["wait_s"])


@DBOS.step(name="rollout_stretch")
async def _stretch(rollout_id: str) -> dict[str, Any]:
    while True:
        try:
            outlook = await (await _controller()).work(rollout_id)
        except NotFoundError:
            return {"done": True, "wait_s": 0.0}
        except UnavailableError as error:
            _LOGGER.warning("rollout %s waits: %s", rollout_id, error.message)
        except Exception:
            # A workflow that ends in an error is never started again, and its rollout would hang.
            _LOGGER.exception("rollout %s cannot be carried on; trying again", rollout_id)
        else:
            return {"done": outlook.done, "wait_s": outlook.wait_s}
        await asyncio.sleep(RETRY_S)


async def _controller() -> RolloutController:
    if not _bound:
        raise UnavailableError("rollouts are still starting; try again in a second")
    return await _bound[0].controller()


async def _begin(rollout_id: str) -> None:
    try:
        with SetWorkflowID(rollout_id):
            await DBOS.start_workflow_async(_rollout, rollout_id)
    except dbos_error.DBOSException as error:
        # The row is stored, so the next sweep starts what could not be started now.
        _LOGGER.warning("the workflow of rollout %s starts later: %s", rollout_id, error)


async def _wake(rollout_id: str) -> None:
    try:
        await DBOS.send_async(rollout_id, "look", TOPIC)
    except dbos_error.DBOSException as error:
        _LOGGER.warning("the workflow of rollout %s was not woken: %s", rollout_id, error)
