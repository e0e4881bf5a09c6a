"""A cycle on a real database: proposals become variants and attempts, outcomes become memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from o_contracts.ids import new_id
from o_contracts.llm import LlmRequest, LlmResult
from o_platform.clock import SystemClock
from o_platform.db.engine import Database
from o_platform.db.models import Attempt, Lineage, Passage, Rollout
from o_platform.errors import ConflictError, LlmError
from o_platform.evolution.service import EvolutionService, new_attempt_id
from o_platform.images.genome import Genome
from o_platform.images.repository import create_lineage, fetch_genome

pytestmark = pytest.mark.integration

TOML = "[params.history_messages]\nvalue = {}\nmin = 4\nmax = 400\n"
SEED = {"genome.toml": TOML.format(60).encode()}


def proposal(history: int, **changes: Any) -> str:
    return json.dumps(
        {
            "hypothesis": "A shorter window lowers the tokens of each prompt.",
            "predicted": {"metric": "prompt_tokens", "change_percent": -40},
            "edits": [{"path": "genome.toml", "content": TOML.format(history)}],
        }
        | changes
    )


@dataclass
class Model:
    """Plays replies in order and keeps what it was asked."""

    replies: list[str]
    asked: list[LlmRequest] = field(default_factory=list)

    async def __call__(self, request: LlmRequest) -> LlmResult:
        self.asked.append(request)
        if not self.replies:
            raise LlmError("the model is out of order")
        return LlmResult(text=self.replies.pop(0))

    def shown(self) -> str:
        return str(self.asked[-1].messages[1].content)


@dataclass
class Rollouts:
    """Stores a rollout that has not ended, as the real service does."""

    database: Database
    started: int = 0

    async def start(self, lineage: str, variant: str, policy: str, by: str) -> Rollout:
        async with self.database.unit_of_work() as session:
            row = await session.get_one(Lineage, lineage)
            rollout = Rollout(
                id=new_id("rollout"),
                lineage=lineage,
                variant=variant,
                baseline=row.stable_variant or "",
                policy={},
                state="load",
                gate="load",
                reason="started",
                message="started",
                created_by=by,
            )
            session.add(rollout)
        self.started += 1
        return rollout


@dataclass
class World:
    database: Database
    model: Model
    rollouts: Rollouts
    service: EvolutionService

    async def cycle(self, state: str, message: str, gate: str | None = None) -> Attempt:
        attempt_id = new_attempt_id()
        await self.service.propose(attempt_id, "default")
        rollout_id = await self.service.start_rollout(attempt_id, "demo")
        if rollout_id is not None:
            assert not await self.service.rollout_finished(rollout_id)
            async with self.database.unit_of_work() as session:
                rollout = await session.get_one(Rollout, rollout_id)
                rollout.state, rollout.message, rollout.gate = state, message, gate
                rollout.finished_at = datetime.now(UTC)
            assert await self.service.rollout_finished(rollout_id)
        await self.service.conclude(attempt_id)
        return await self.attempt(attempt_id)

    async def attempt(self, attempt_id: str) -> Attempt:
        async with self.database.unit_of_work() as session:
            return await session.get_one(Attempt, attempt_id)

    async def passage(self, attempt: Attempt) -> str:
        async with self.database.unit_of_work() as session:
            return (await session.get_one(Passage, attempt.passage_id)).text


@pytest.fixture
async def world(database: Database) -> World:
    async with database.unit_of_work() as session:
        await create_lineage(session, "default", Genome.from_files(SEED), "seed")
    model, rollouts = Model([]), Rollouts(database)
    service = EvolutionService(database, rollouts, model, SystemClock(), "o/scripted")
    return World(database, model, rollouts, service)


async def test_a_rejected_attempt_is_remembered_and_shown_to_the_next(world: World) -> None:
    world.model.replies = [proposal(20), proposal(30)]
    first = await world.cycle("rejected", "p99 was 3.1x stable's", "load")
    assert (first.outcome, first.stopped_by, first.risk) == ("rejected", "load", "params")
    assert "-value = 60" in first.diff
    assert "+value = 20" in first.diff
    assert "The gate load stopped it: p99 was 3.1x stable's" in await world.passage(first)

    second = await world.cycle("promoted", "every gate passed")
    shown = world.model.shown()
    assert "Attempts so far: 1" in shown
    assert "The gate load stopped it: p99 was 3.1x stable's" in shown
    assert second.outcome == "promoted"
    assert second.stopped_by is None


async def test_the_variant_holds_the_edited_genome(world: World) -> None:
    world.model.replies = [proposal(20)]
    attempt = await world.cycle("promoted", "every gate passed")
    async with world.database.unit_of_work() as session:
        genome = await fetch_genome(session, attempt.variant or "")
    assert genome.param_values()["history_messages"] == 20


async def test_a_malformed_reply_is_mended_once(world: World) -> None:
    world.model.replies = ["no idea", proposal(20)]
    attempt = await world.cycle("promoted", "every gate passed")
    assert attempt.outcome == "promoted"
    assert "without a JSON object" in str(world.model.asked[-1].messages[-1].content)


async def test_two_malformed_replies_are_an_attempt_that_failed(world: World) -> None:
    world.model.replies = ["no idea", "still none"]
    attempt = await world.cycle("promoted", "never reached")
    assert (attempt.outcome, attempt.stopped_by) == ("failed", "proposal")
    assert world.rollouts.started == 0
    assert "The gate proposal stopped it" in await world.passage(attempt)


async def test_a_model_that_fails_is_an_attempt_that_failed(world: World) -> None:
    attempt = await world.cycle("promoted", "never reached")
    assert attempt.stopped_by == "proposal"
    assert "out of order" in (attempt.lesson or "")


async def test_an_invalid_genome_is_rejected_with_the_place(world: World) -> None:
    broken = [{"path": "loop/hooks.py", "content": "def broken(:\n"}]
    world.model.replies = [proposal(20, edits=broken)]
    attempt = await world.cycle("promoted", "never reached")
    assert (attempt.outcome, attempt.stopped_by) == ("rejected", "static")
    assert "loop/hooks.py:1" in (attempt.lesson or "")


async def test_a_genome_that_failed_before_is_not_tried_again(world: World) -> None:
    world.model.replies = [proposal(20), proposal(20)]
    await world.cycle("rejected", "too slow", "load")
    again = await world.cycle("promoted", "never reached")
    assert (again.outcome, again.stopped_by) == ("rejected", "dedupe")
    assert world.rollouts.started == 1


async def test_a_step_done_twice_does_its_work_once(world: World) -> None:
    world.model.replies = [proposal(20)]
    attempt_id = new_attempt_id()
    await world.service.propose(attempt_id, "default")
    await world.service.propose(attempt_id, "default")
    first = await world.service.start_rollout(attempt_id, "demo")
    async with world.database.unit_of_work() as session:
        (await session.get_one(Attempt, attempt_id)).rollout_id = None
    assert await world.service.start_rollout(attempt_id, "demo") == first
    assert (len(world.model.asked), world.rollouts.started) == (1, 1)
    with pytest.raises(ConflictError, match="has not ended"):
        await world.service.conclude(attempt_id)


async def test_a_second_cycle_waits_for_the_first(world: World) -> None:
    world.model.replies = [proposal(20)]
    await world.service.propose(new_attempt_id(), "default")
    with pytest.raises(ConflictError, match="still open"):
        await world.service.check_free("default")
