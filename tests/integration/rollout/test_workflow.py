"""Rollouts from start to end: durable workflows on a real PostgreSQL, a real locust."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import rollout_world as world_module
from rollout_world import control_plane, policy, seed
from sqlalchemy import select

from o_platform.db.engine import Database
from o_platform.db.models import Event, Instance, LineageVariant
from o_platform.errors import ConflictError
from o_platform.images.repository import fetch_stable
from o_platform.rollout.service import RolloutService
from o_platform.rollout.views import RolloutView
from o_platform.settings import Settings

pytestmark = pytest.mark.integration

STABLE = "the first one"


async def until(
    service: RolloutService,
    rollout_id: str,
    condition: Callable[[RolloutView], bool],
    within_s: float = 180,
) -> RolloutView:
    """The rollout as soon as it is as wished."""
    async with asyncio.timeout(within_s):
        while True:
            view = await service.status(rollout_id)
            if condition(view):
                return view
            assert not view.finished, f"{view.state}: {view.message}"
            await asyncio.sleep(0.02)


async def finished(service: RolloutService, rollout_id: str) -> RolloutView:
    return await until(service, rollout_id, lambda view: view.finished)


async def instances(database: Database) -> set[tuple[str, str]]:
    """Role and variant of what runs."""
    async with database.unit_of_work() as session:
        rows = (await session.scalars(select(Instance).where(Instance.wanted))).all()
    return {(row.role, row.variant) for row in rows}


async def stable_of(database: Database) -> str:
    async with database.unit_of_work() as session:
        return await fetch_stable(session, "default")


async def test_a_good_variant_is_promoted_through_every_gate(
    database: Database, settings: Settings
) -> None:
    old, new = await seed(database, STABLE, "a better one")
    async with control_plane(database, settings) as (world, runtime):
        view = await runtime.service.start("default", new[:8], policy(), "ann")
        done = await finished(runtime.service, view.id)
        events = await runtime.service.events(view.id)
        assert world.routes["stable"] in world.servers
    assert (done.state, done.gate, done.reason) == ("promoted", "watch", "promoted")
    assert await stable_of(database) == new
    assert await instances(database) == {("stable", new)}
    passed = [
        event.gate for event in events if event.reason in ("gate_passed", "step_passed", "promoted")
    ]
    assert passed == ["static", "build", "contract", "load", "shadow", "canary", "canary", "watch"]
    assert events[0].message == "created by ann"
    load = next(event for event in events if event.gate == "load")
    assert load.evidence["candidate"]["requests"] > 10
    assert load.evidence["locust"]["requests"].keys() == {"candidate", "baseline"}
    async with database.unit_of_work() as session:
        status = await session.get(LineageVariant, ("default", old))
        assert status is not None
        assert status.status == "retired"
        kinds = (await session.scalars(select(Event.kind))).all()
    assert kinds == ["rollout_promoted"]


@pytest.mark.parametrize(
    ("text", "gate", "reason"),
    [
        ("key sk-abcdefghijklmnopqrstuvwx", "static", "static_findings"),
        ("build=no", "build", "build_failed"),
        ("ready=bench", "contract", "not_ready"),
        ("suffix=|PATH", "contract", "contract_broken"),
        ("oom_kills=1", "contract", "memory"),
        ("latency_ms=14", "load", "latency"),
    ],
)
async def test_a_bad_variant_is_rejected_before_traffic(
    database: Database, settings: Settings, text: str, gate: str, reason: str
) -> None:
    old, new = await seed(database, STABLE, text)
    async with control_plane(database, settings) as (_, runtime):
        view = await runtime.service.start("default", new, policy(), "ann")
        done = await finished(runtime.service, view.id)
    assert (done.state, done.gate, done.reason) == ("rejected", gate, reason), done.message
    assert await stable_of(database) == old
    assert await instances(database) == {("stable", old)}
    async with database.unit_of_work() as session:
        status = await session.get(LineageVariant, ("default", new))
        assert status is not None
        assert status.status == "rejected"


@pytest.mark.parametrize(
    ("text", "gates", "reasons"),
    [
        ("dies_of_100=10", {"shadow", "canary"}, {"crashes", "errors"}),
        ("ready=canary", {"canary"}, {"not_ready"}),
        ("ready=stable", {"canary"}, {"not_ready"}),
    ],
)
async def test_a_bad_variant_is_rolled_back_on_traffic(
    database: Database, settings: Settings, text: str, gates: set[str], reasons: set[str]
) -> None:
    old, new = await seed(database, STABLE, text)
    async with control_plane(database, settings) as (world, runtime):
        view = await runtime.service.start("default", new, policy(), "ann")
        done = await finished(runtime.service, view.id)
        assert world.routes["weight"] == 0
    assert done.state == "rolled_back"
    assert done.gate in gates
    assert done.reason in reasons
    assert await stable_of(database) == old
    assert await instances(database) == {("stable", old)}


async def test_a_variant_that_turns_bad_after_promotion_is_rolled_back(
    database: Database, settings: Settings
) -> None:
    old, new = await seed(database, STABLE, "moody")
    patient = policy(watch=policy().watch.model_copy(update={"min_seconds": 10.0}))
    async with control_plane(database, settings) as (world, runtime):
        view = await runtime.service.start("default", new, patient, "ann")
        await until(runtime.service, view.id, lambda v: v.phase == "watch")
        world.traits_by_instance[world.routes["stable"]].dies_of_100 = 60
        done = await finished(runtime.service, view.id)
        assert world.routes["stable"] == "5" * 12
    assert (done.state, done.gate) == ("rolled_back", "watch")
    assert await stable_of(database) == old
    assert await instances(database) == {("stable", old)}


async def test_a_machine_that_gets_slower_is_no_regression_of_the_variant(
    database: Database, settings: Settings
) -> None:
    old, new = await seed(database, STABLE, "new")
    patient = policy(watch=policy().watch.model_copy(update={"min_seconds": 2.0}))
    async with control_plane(database, settings) as (world, runtime):
        view = await runtime.service.start("default", new, patient, "ann")
        await until(runtime.service, view.id, lambda v: v.phase == "watch")
        world.slowness = 4.0
        watched = await until(runtime.service, view.id, lambda v: v.mirror_permille > 0)
        assert {("shadow", old), ("stable", old), ("stable", new)} == await instances(database)
        done = await finished(runtime.service, view.id)
        last = (await runtime.service.events(view.id))[-1]
    assert (watched.weight_permille, watched.mirror_permille) == (0, 200)
    assert (done.state, done.mirror_permille) == ("promoted", 0)
    assert last.evidence["requests"]["baseline"] > 0
    assert last.evidence["latency_ratio"]["upper"] < 2.0
    assert await instances(database) == {("stable", new)}


async def test_a_variant_that_gets_slow_after_promotion_is_rolled_back(
    database: Database, settings: Settings
) -> None:
    old, new = await seed(database, STABLE, "new")
    patient = policy(watch=policy().watch.model_copy(update={"min_seconds": 10.0}))
    async with control_plane(database, settings) as (world, runtime):
        view = await runtime.service.start("default", new, patient, "ann")
        await until(runtime.service, view.id, lambda v: v.phase == "watch")
        world.traits_by_instance[world.routes["stable"]].latency_ms = 16
        done = await finished(runtime.service, view.id)
        assert (world.routes["shadow"], world.routes["mirror"]) == (None, 0)
    assert (done.state, done.gate, done.reason) == ("rolled_back", "watch", "latency")
    assert await instances(database) == {("stable", old)}


async def test_a_watch_without_anything_to_compare_with_judges_the_rest(
    database: Database, settings: Settings
) -> None:
    _, new = await seed(database, f"{STABLE} ready=shadow", "new")
    async with control_plane(database, settings) as (_, runtime):
        view = await runtime.service.start("default", new, policy(), "ann")
        done = await finished(runtime.service, view.id)
        last = (await runtime.service.events(view.id))[-1]
    assert done.state == "promoted"
    assert last.evidence["latency_ratio"] is None
    assert "exited with 78" in last.evidence["uncompared"]


async def test_a_comparison_that_is_lost_stops_counting(
    database: Database, settings: Settings
) -> None:
    _, new = await seed(database, STABLE, "new")
    patient = policy(watch=policy().watch.model_copy(update={"min_seconds": 3.0}))
    async with control_plane(database, settings) as (world, runtime):
        view = await runtime.service.start("default", new, patient, "ann")
        await until(runtime.service, view.id, lambda v: v.mirror_permille == 200)
        async with database.unit_of_work() as session:
            query = select(Instance.id).where(Instance.wanted, Instance.role == "shadow")
            shadow = await session.scalar(query)
        assert shadow is not None
        await world.retire(shadow)
        done = await finished(runtime.service, view.id)
    assert (done.state, done.evidence["uncompared"]) == (
        "promoted",
        "the copy of the former variant is gone",
    )


async def test_an_abort_takes_the_canary_out_at_once(
    database: Database, settings: Settings
) -> None:
    slow = policy(canary=policy().canary.model_copy(update={"min_requests": 10**6}))
    old, new = await seed(database, STABLE, "new")
    async with control_plane(database, settings) as (world, runtime):
        service = runtime.service
        view = await service.start("default", new, slow, "ann")
        await until(service, view.id, lambda v: v.weight_permille > 0)
        began = time.perf_counter()
        aborted = await service.abort(view.id, "bob")
        took_s = time.perf_counter() - began
        assert (world.routes["weight"], world.routes["canary"]) == (0, None)
        assert aborted.weight_permille == 0
        assert took_s < 0.1
        done = await finished(service, view.id)
        with pytest.raises(ConflictError, match="has ended"):
            await service.abort(view.id, "bob")
    assert (done.state, done.reason) == ("aborted", "aborted_by_operator")
    assert "bob" in done.message
    assert await instances(database) == {("stable", old)}


async def test_an_abort_stops_a_load_test(database: Database, settings: Settings) -> None:
    long = policy(load=policy().load.model_copy(update={"rounds": 200}))
    _, new = await seed(database, STABLE, "new")
    async with control_plane(database, settings) as (_, runtime):
        view = await runtime.service.start("default", new, long, "ann")
        await until(runtime.service, view.id, lambda v: v.state == "load")
        await runtime.service.abort(view.id, "bob")
        done = await until(runtime.service, view.id, lambda v: v.finished, within_s=30)
    assert (done.state, done.gate) == ("aborted", "load")


async def test_pause_holds_resume_goes_on_and_only_one_rollout_runs(
    database: Database, settings: Settings
) -> None:
    _, new, other = await seed(database, STABLE, "new", "other")
    careful = policy(approval=dict.fromkeys(("params", "prompts", "tools", "loop"), "person"))
    async with control_plane(database, settings) as (_, runtime):
        service = runtime.service
        view = await service.start("default", new, careful, "ann")
        assert (await service.start("default", new, careful, "ann")).id == view.id
        with pytest.raises(ConflictError, match=view.id):
            await service.start("default", other, careful, "ann")
        await service.pause(view.id, "ann")
        paused = await until(service, view.id, lambda v: v.state == "paused")
        with pytest.raises(ConflictError, match="paused already"):
            await service.pause(view.id, "ann")
        await service.resume(view.id, "ann")
        waiting = await until(service, view.id, lambda v: v.state == "awaiting_approval")
        assert waiting.weight_permille == 500
        assert paused.gate != "canary"
        await service.approve(view.id, "carl")
        done = await finished(service, view.id)
        assert [e.reason for e in await service.events(view.id)].count("approved") >= 1
    assert done.state == "promoted"


async def test_a_pause_during_a_gate_is_somebodys_and_can_be_withdrawn(
    database: Database, settings: Settings
) -> None:
    # Long enough for everything that is said during the gate, on a busy machine too.
    long = policy(load=policy().load.model_copy(update={"rounds": 12}))
    old, new = await seed(database, STABLE, "new")
    async with control_plane(database, settings, rps=0) as (_, runtime):
        service = runtime.service
        view = await service.start("default", new, long, "ann")
        await until(service, view.id, lambda v: v.state == "load")
        # Before the gate is at work a pause holds at once: the baseline's bench tells that it is.
        async with asyncio.timeout(60):
            while ("bench", old) not in await instances(database):  # noqa: ASYNC110 - a row
                await asyncio.sleep(0.02)
        assert (await service.pause(view.id, "bob")).intent == "pause"
        with pytest.raises(ConflictError, match="until the end of the gate"):
            await service.approve(view.id, "ann")
        assert (await service.resume(view.id, "ann")).intent is None
        await service.pause(view.id, "carl")
        await until(service, view.id, lambda v: v.state == "paused")
        pauses = [e.message for e in await service.events(view.id) if e.reason == "paused"]
    assert [message.split(";")[0] for message in pauses] == ["paused by carl"]


async def test_too_little_traffic_holds_and_load_on_demand_helps(
    database: Database, settings: Settings
) -> None:
    shadow = policy().shadow.model_copy(update={"max_wait_s": 1.0, "load_on_demand": True})
    thin = policy(shadow=shadow, canary=policy().canary.model_copy(update={"max_wait_s": 1.0}))
    _, new = await seed(database, STABLE, "new")
    async with control_plane(database, settings, rps=0) as (world, runtime):
        view = await runtime.service.start("default", new, thin, "ann")
        await until(runtime.service, view.id, lambda v: v.phase == "canary")
        held = await until(runtime.service, view.id, lambda v: v.state == "insufficient_data")
        assert (held.gate, held.weight_permille) == ("canary", 250)
        more = asyncio.ensure_future(world.live())
        done = await finished(runtime.service, view.id)
        more.cancel()
    assert done.state == "promoted"


async def test_an_envoy_that_is_away_for_a_moment_costs_a_moment(
    database: Database, settings: Settings
) -> None:
    _, new = await seed(database, STABLE, "new")
    async with control_plane(database, settings) as (world, runtime):
        world.envoy_is_down = True
        view = await runtime.service.start("default", new, policy(), "ann")
        await until(runtime.service, view.id, lambda v: v.state == "pending")
        await asyncio.sleep(1)
        world.envoy_is_down = False
        assert (await finished(runtime.service, view.id)).state == "promoted"


async def test_a_stopped_control_plane_leaves_nothing_running_and_goes_on_later(
    database: Database, settings: Settings
) -> None:
    old, new = await seed(database, STABLE, "new")
    long = policy(load=policy().load.model_copy(update={"rounds": 6}))
    before = asyncio.all_tasks()
    async with control_plane(database, settings) as (_, runtime):
        view = await runtime.service.start("default", new, long, "ann")
        async with asyncio.timeout(20):
            while ("bench", new) not in await instances(database):  # noqa: ASYNC110 - no signal
                await asyncio.sleep(0.02)
    # Nothing may use the database from here on: it is closed next. The load test let go first.
    assert asyncio.all_tasks() == before
    assert await instances(database) == {("stable", old)}
    async with control_plane(database, settings) as (_, runtime):
        assert (await finished(runtime.service, view.id)).state == "promoted"


async def test_a_killed_control_plane_goes_on_where_it_was(
    database: Database, database_url: str, settings: Settings, short_tmp: Path
) -> None:
    old, new = await seed(database, STABLE, "new")
    program = [sys.executable, world_module.__file__, database_url]
    program += [str(settings.home), str(settings.run)]

    def start() -> subprocess.Popen[bytes]:
        log = (short_tmp / "log").open("ab")
        with log:
            process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        with process.stdout as output:
            assert output.readline() == b"ready\n", (short_tmp / "log").read_text()
        return process

    async def kill_at(process: subprocess.Popen[bytes], phase: str) -> None:
        await until(service, view.id, lambda v: v.phase == phase)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    first = await asyncio.to_thread(start)
    service = RolloutService(
        database,
        world_module.World(database, settings),
        world_module.Signals(),
        world_module.SystemClock(),
        begin=world_module.nothing,
        wake=world_module.nothing,
    )
    view = await service.start("default", new, policy(), "ann")
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    second = await asyncio.to_thread(start)
    await kill_at(second, "load")
    third = await asyncio.to_thread(start)
    await kill_at(third, "canary")
    fourth = await asyncio.to_thread(start)
    await kill_at(fourth, "watch")
    fifth = await asyncio.to_thread(start)
    done = await finished(service, view.id)
    fifth.send_signal(signal.SIGKILL)
    fifth.wait(10)
    assert done.state == "promoted", done.message
    assert await stable_of(database) == new
    assert await instances(database) == {("stable", new)}
    reasons = [event.reason for event in await service.events(view.id)]
    assert reasons.count("promoted") == 1
    assert reasons.count("started") == 1
