"""From rows of the database to requests that are routed by them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from o_contracts.ids import new_id
from o_platform.db.engine import CHANNEL_INSTANCES, CHANNEL_ROUTES, Database, announce
from o_platform.db.hearing import Hearing
from o_platform.db.models import Instance, Lineage, Rollout, Variant
from o_platform.errors import NotFoundError, SetupError
from o_platform.traffic.controller import TrafficController
from o_platform.traffic.keys import create_key, list_keys, revoke_key
from o_platform.traffic.repository import fetch_snapshot

pytestmark = pytest.mark.integration


def _instance(edge: Any, name: str, role: str, **changes: Any) -> Instance:
    endpoint = edge.endpoint(name)
    fields: dict[str, Any] = {
        "id": endpoint.instance_id,
        "lineage": "default",
        "variant": endpoint.variant,
        "role": role,
        "runtime": "process",
        "status": "ready",
        "limits": {},
        "ready_at": datetime.now(UTC),
    }
    return Instance(**{**fields, **changes})


def _rollout(edge: Any, **changes: Any) -> Rollout:
    fields: dict[str, Any] = {
        "id": new_id("rollout"),
        "lineage": "default",
        "variant": edge.endpoint("canary").variant,
        "baseline": edge.endpoint("stable").variant,
        "policy": {},
        "state": "canary",
        "reason": "test",
        "message": "test",
        "created_by": "test",
    }
    return Rollout(**{**fields, **changes})


@pytest.fixture
async def rows(edge: Any, database: Database) -> Database:
    """The lineage `default` with one stable instance, and variants to roll out."""
    async with database.unit_of_work() as session:
        for name in edge.instances:
            session.add(
                Variant(
                    digest=edge.endpoint(name).variant,
                    genome=b"",
                    params={},
                    origin="seed",
                    size_bytes=0,
                )
            )
        await session.flush()
        stable = edge.endpoint("stable").variant
        session.add(Lineage(name="default", key=1, stable_variant=stable))
        await session.flush()
        session.add(_instance(edge, "stable", "stable"))
    return database


@asynccontextmanager
async def _following(controller: TrafficController, database: Database) -> AsyncIterator[None]:
    hearing = Hearing(database.url, CHANNEL_INSTANCES, CHANNEL_ROUTES)
    tasks = [asyncio.create_task(hearing.run()), asyncio.create_task(controller.run(hearing))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _served_by(edge: Any, headers: dict[str, str] | None = None) -> str:
    async with edge.client() as client:
        answer = await client.post(edge.turn(), headers=headers)
    body = answer.json()
    return str(body.get("backend") or body["code"])


async def test_a_rollout_goes_through_its_stages(edge: Any, rows: Database) -> None:
    controller = TrafficController(rows, edge.settings)
    first = await controller.apply()
    assert await _served_by(edge) == "stable"
    assert await controller.apply() == first

    canary, rollout = edge.endpoint("canary"), _rollout(edge, weight_permille=1000)
    rollout.canary_instance = canary.instance_id
    async with rows.unit_of_work() as session:
        session.add_all([_instance(edge, "canary", "canary"), rollout])
    assert await controller.apply() != first
    assert await _served_by(edge) == "canary"

    async with rows.unit_of_work() as session:
        await session.execute(update(Rollout).values(weight_permille=0, canary_instance=None))
    assert await _served_by(edge) == "canary"
    await controller.apply()
    assert await _served_by(edge) == "stable"

    async with rows.unit_of_work() as session:
        await session.execute(update(Rollout).values(finished_at=datetime.now(UTC)))
        await session.execute(update(Lineage).values(stable_variant=canary.variant))
        promoted = update(Instance).where(Instance.id == canary.instance_id)
        await session.execute(promoted.values(role="stable"))
    await controller.apply()
    assert await _served_by(edge) == "canary"


async def test_what_the_rows_mean(edge: Any, rows: Database) -> None:
    shadow = edge.endpoint("shadow")
    async with rows.unit_of_work() as session:
        session.add_all(
            [
                _instance(edge, "shadow", "shadow"),
                _instance(edge, "bench", "bench"),
                _instance(edge, "other", "bench", status="starting", ready_at=None),
                _rollout(edge, shadow_instance=shadow.instance_id, mirror_permille=250),
            ]
        )
        await session.execute(
            update(Instance).where(Instance.role == "stable").values(status="starting")
        )
    async with rows.unit_of_work() as session:
        snapshot = await fetch_snapshot(session, edge.settings, "{}")
    (lineage,) = snapshot.lineages
    assert lineage == edge.lineage(shadow=edge.shadow(250), observed=True)
    assert snapshot.benches == (edge.endpoint("bench"),)
    assert snapshot.default_key == 1


async def test_a_socket_that_became_a_link_gets_no_traffic(edge: Any, rows: Database) -> None:
    await edge.instances["stable"].stop()
    edge.instances["stable"].path.symlink_to(edge.control.path)
    await TrafficController(rows, edge.settings).apply()
    assert await _served_by(edge) == "unavailable"


async def test_announced_changes_are_applied(edge: Any, rows: Database) -> None:
    controller = TrafficController(rows, edge.settings)
    async with rows.unit_of_work() as session:
        key = await create_key(session, controller.signer, "ada", "operator")
    headers = {"authorization": f"Bearer {key.token}"}
    async with _following(controller, rows):
        assert await _served_by(edge, headers) == "stable"
        async with rows.unit_of_work() as session:
            await revoke_key(session, key.id)
        async with asyncio.timeout(30):
            while await _served_by(edge, headers) != "unauthorized":
                pass
        async with rows.unit_of_work() as session:
            await session.execute(update(Instance).values(wanted=False))
            await announce(session, CHANNEL_ROUTES, "default")
        async with asyncio.timeout(30):
            while await _served_by(edge) != "unavailable":
                pass
    async with rows.unit_of_work() as session:
        (listed,) = await list_keys(session)
        assert (listed.id, listed.name, listed.role) == (key.id, "ada", "operator")
        assert listed.revoked_at is not None
        assert key.token not in listed.token_sha256
        with pytest.raises(NotFoundError):
            await revoke_key(session, "key-none")


async def test_a_burst_of_calls_shares_its_deliveries(
    edge: Any, rows: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = TrafficController(rows, edge.settings)
    deliver = controller._deliver
    count = 0

    async def counted() -> str:
        nonlocal count
        count += 1
        return await deliver()

    monkeypatch.setattr(controller, "_deliver", counted)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(controller.apply()) for _ in range(20)]
    assert len({task.result() for task in tasks}) == 1
    assert count == 2


async def test_tls_is_made_and_a_bad_certificate_stops_the_first_delivery(
    edge: Any, rows: Database
) -> None:
    bad = edge.settings.model_copy(update={"tls": "none.pem:none.key"})
    with pytest.raises(SetupError, match=r"none\.pem"):
        await TrafficController(rows, bad).apply()
    with pytest.raises(SetupError, match="O_TLS"):
        await TrafficController(rows, bad.model_copy(update={"tls": "none.pem"})).apply()
    good = edge.settings.model_copy(update={"tls": "auto"})
    await TrafficController(rows, good).apply()
    edge.over_tls = True
    assert await _served_by(edge) == "stable"
