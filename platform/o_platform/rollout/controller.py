"""Drives rollouts: read the row → apply what its state wants → observe → decide → write the row.

`work` does that until the state changes, for a bounded time; the workflow makes each such stretch a
durable step. Whatever happens in between, the row is the truth: a controller that starts anew
applies the effects of the stored state again and goes on looking.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from o_platform.clock import Clock
from o_platform.db.engine import Database
from o_platform.errors import (
    BuildError,
    ForbiddenError,
    NotReadyError,
    TrafficError,
    UnavailableError,
)
from o_platform.rollout import repository
from o_platform.rollout.case import Case
from o_platform.rollout.effects import effects_of
from o_platform.rollout.enforcement import Enforcer, OvertakenError
from o_platform.rollout.gates.live import LiveGates
from o_platform.rollout.gates.suite import GateSuite
from o_platform.rollout.machine import (
    Applied,
    Breach,
    Broken,
    Decision,
    Observation,
    Operator,
    decide,
)
from o_platform.rollout.observations import ObservationHub
from o_platform.rollout.signals import Signals
from o_platform.rollout.states import Gate, Hold, Intent, Phase, Reason

LOOK_S: Final = 0.5
"""Between two looks at live traffic, in seconds."""
STRETCH_S: Final = 60.0
"""How long `work` looks at one state before it returns, in seconds."""
IDLE_S: Final = 30.0
"""How long a rollout that only waits for an operator sleeps, in seconds."""
PATIENCE_S: Final = 300.0
"""How long a part of the platform may be away before the rollout is given up, in seconds."""
_BACKGROUND: Final = frozenset({Gate.STATIC, Gate.BUILD, Gate.CONTRACT, Gate.LOAD})
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the caller of `work` does next: stop, or call again after `wait_s` or a signal."""

    done: bool
    wait_s: float = 0.0


class RolloutController:
    """Carries rollouts forward."""

    def __init__(
        self,
        database: Database,
        enforcer: Enforcer,
        suite: GateSuite,
        live: LiveGates,
        hub: ObservationHub,
        signals: Signals,
        clock: Clock,
    ) -> None:
        """`signals` wake a rollout that waits, in this process."""
        self._database = database
        self._enforcer = enforcer
        self._suite = suite
        self._live = live
        self._hub = hub
        self._signals = signals
        self._clock = clock
        self._applied: dict[str, tuple[Phase, int]] = {}
        self._away_since: dict[str, float] = {}

    async def work(self, rollout_id: str) -> Outlook:
        """Take decisions until the state changes, or there is nothing to do for a while.

        Raises:
            NotFoundError: no such rollout.
        """
        deadline = self._clock.now() + timedelta(seconds=STRETCH_S)
        while True:
            case = await self._load(rollout_id)
            if case.finished:
                return Outlook(done=True)
            before = case.state
            idle = await self._decide_once(case)
            if case.state.final:
                if self._is_applied(case):
                    await self._finish(case)
                    return Outlook(done=True)
                if not before.final:
                    continue  # an end is carried out at once
            elif idle:
                return Outlook(done=False, wait_s=IDLE_S)
            elif (case.state.name, case.state.step) != (before.name, before.step):
                return Outlook(done=False)
            if self._clock.now() >= deadline:
                return Outlook(done=False)
            await self._signals.wait(rollout_id, LOOK_S)

    async def _decide_once(self, case: Case) -> bool:
        """One decision; returns whether only an operator can bring the rollout forward."""
        try:
            observation = await self._observe(case)
            if observation is None or case.state.final:
                return False
            decision = decide(case.state, observation, self._clock.now())
            await self._write(case, decision, observation)
        except OvertakenError:
            return False
        return _waits_for_operator(case)

    async def _observe(self, case: Case) -> Observation | None:
        """What there is to decide on: an operator's wish first, then what the state needs.

        None while a part of the platform is away.
        """
        if case.intent is not None and not case.state.final:
            return Operator(case.intent, case.by)
        try:
            observation = await self._unless_aborted(case, self._apply_and_look(case))
        except (UnavailableError, TrafficError) as error:
            return self._be_patient(case, error.message)
        except OvertakenError:
            raise
        except Exception as error:
            _LOGGER.exception("rollout %s cannot go on", case.rollout_id)
            return Broken(f"the platform failed: {type(error).__name__}: {error}")
        self._away_since.pop(case.rollout_id, None)
        return observation

    def _be_patient(self, case: Case, message: str) -> Broken | None:
        now = self._clock.now().timestamp()
        since = self._away_since.setdefault(case.rollout_id, now)
        _LOGGER.warning("rollout %s waits for the platform: %s", case.rollout_id, message)
        if now - since <= PATIENCE_S:
            return None
        return Broken(f"a part of the platform was away for {PATIENCE_S:g} s: {message}")

    async def _apply_and_look(self, case: Case) -> Observation:
        return await self._apply(case) or await self._look(case)

    async def _look(self, case: Case) -> Observation:
        state = case.state
        if state.gate in _BACKGROUND and not state.final and state.hold is not Hold.PAUSED:
            report = await self._suite.run(state.gate, case)
            case.numbers = report.numbers
            return report.result
        if state.final or state.gate in {None, *_BACKGROUND} or state.phase is Phase.PROMOTING:
            return Applied()
        return await self._live.look(case, self._clock.now())

    async def _unless_aborted(
        self, case: Case, work: Coroutine[None, None, Observation]
    ) -> Observation:
        """The result of `work`, which is cancelled when an operator aborts meanwhile."""
        if case.state.final:
            return await work
        task = asyncio.ensure_future(work)
        abort = asyncio.ensure_future(self._aborted(case.rollout_id))
        try:
            await asyncio.wait({task, abort}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise OvertakenError
        finally:
            for running in (task, abort):
                running.cancel()
            await asyncio.gather(task, abort, return_exceptions=True)

    async def _aborted(self, rollout_id: str) -> None:
        while True:
            await self._signals.wait(rollout_id, LOOK_S)
            with suppress(UnavailableError):
                async with self._database.unit_of_work() as session:
                    if await repository.fetch_intent(session, rollout_id) == Intent.ABORT:
                        return

    async def _apply(self, case: Case) -> Breach | None:
        """Make true what the state wants, once per state; a breach if an instance won't start."""
        if self._is_applied(case):
            return None
        try:
            for effect in effects_of(case.state):
                await self._enforcer.enforce(case, effect)
        except (NotReadyError, BuildError, ForbiddenError) as error:
            if case.state.final:
                raise
            return Breach(Reason.NOT_READY, error.message)
        self._applied[case.rollout_id] = (case.state.phase, case.state.step)
        return None

    def _is_applied(self, case: Case) -> bool:
        return self._applied.get(case.rollout_id) == (case.state.phase, case.state.step)

    async def _load(self, rollout_id: str) -> Case:
        async with self._database.unit_of_work() as session:
            return Case.of(await repository.fetch_rollout(session, rollout_id))

    async def _write(self, case: Case, decision: Decision, observation: Observation) -> None:
        """Store the decision, unless the row changed since it was read.

        Nor is it stored when the wish it obeys was withdrawn, or an abort came in.
        """
        now = self._clock.now()
        async with self._database.unit_of_work() as session:
            row = await repository.fetch_rollout(session, case.rollout_id, lock=True)
            wished = observation.intent if isinstance(observation, Operator) else None
            obeyed = wished is not None and row.intent == wished
            overtaken = row.intent == Intent.ABORT or wished is not None
            if row.data["version"] != case.version or (overtaken and not obeyed):
                raise OvertakenError
            row.intent = None if obeyed else row.intent
            # Who asked is the service's to write: a wish may have come in during this decision.
            row.data = case.data(decision.state) | {"by": row.data.get("by", "")}
            row.message = decision.message
            row.updated_at = now
            if decision.reason is not Reason.CONTINUES:
                row.state, row.gate = decision.state.name, decision.state.gate
                row.reason = decision.reason
                repository.add_event(session, row, now, gate=case.state.gate, evidence=case.numbers)
        case.state = decision.state
        case.version += 1

    async def _finish(self, case: Case) -> None:
        """Everything is free: let the next rollout of the lineage begin."""
        async with self._database.unit_of_work() as session:
            row = await repository.fetch_rollout(session, case.rollout_id, lock=True)
            if row.finished_at is None:
                row.finished_at = self._clock.now()
                row.intent = None
                repository.add_notice(session, row)
        self._hub.unsubscribe(case.rollout_id)
        self._applied.pop(case.rollout_id, None)


def _waits_for_operator(case: Case) -> bool:
    state = case.state
    return state.hold is Hold.PAUSED and (state.gate in _BACKGROUND or state.phase is Phase.PENDING)
