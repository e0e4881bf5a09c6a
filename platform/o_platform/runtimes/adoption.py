"""What is done about instances of an earlier run, at the start and after the engine was away.

The rows say what is wanted. What runs and answers is kept; what is wanted and does not run is
started again under its id, so that routes to it hold, except for instances of the bench, whose work
was lost with them; what nobody wants is removed, and its folders with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from o_platform.db.models import Instance
from o_platform.errors import EngineUnavailableError, NotReadyError, OError
from o_platform.runtimes.keeper import Keeper
from o_platform.runtimes.protocol import Placement
from o_platform.runtimes.repository import list_unfinished, mark_ready, update_instance

log = logging.getLogger(__name__)

_AT_ONCE = 4


@dataclass(slots=True)
class Adoption:
    """Ids of instances by what was done about them."""

    kept: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


async def adopt(keeper: Keeper) -> Adoption:
    """Bring what runs in line with the rows.

    Raises:
        EngineUnavailableError: no engine answers.
    """
    report = Adoption()
    owned = [each for each in await keeper.runtime.owned() if each.instance_id]
    async with keeper.database.unit_of_work() as session:
        rows = [r for r in await list_unfinished(session) if r.id not in keeper.in_flight]
    await _remove_strangers(keeper, owned, rows, report)
    places = {each.instance_id: each for each in owned}

    async def settle(row: Instance) -> None:
        await _settle(keeper, row, places.get(row.id), report)

    await _for_each(rows, settle)
    log.info(
        "instances adopted",
        extra={
            "kept": report.kept,
            "started": report.started,
            "failed": report.failed,
            "removed": report.removed,
        },
    )
    return report


async def _remove_strangers(
    keeper: Keeper, owned: Sequence[Placement], rows: Sequence[Instance], report: Adoption
) -> None:
    known = {row.id for row in rows} | keeper.in_flight
    for placement in owned:
        if placement.instance_id not in known:
            await keeper.launcher.end(placement)
            report.removed.append(placement.instance_id)
    for instance_id in keeper.launcher.folders.known():
        if instance_id not in known:
            keeper.launcher.folders.remove(instance_id)


async def _settle(
    keeper: Keeper, row: Instance, placement: Placement | None, report: Adoption
) -> None:
    with keeper.claimed(row.id):
        await _settle_claimed(keeper, row, placement, report)


async def _settle_claimed(
    keeper: Keeper, row: Instance, placement: Placement | None, report: Adoption
) -> None:
    if not row.wanted:
        await keeper.end(row.id, grace_s=0)
        report.removed.append(row.id)
    elif placement is not None and await _answers(keeper, placement):
        await _keep(keeper, row, placement)
        report.kept.append(row.id)
    elif row.role == "bench":
        await keeper.give_up(row.id, "it was gone when the platform came back")
        report.failed.append(row.id)
    else:
        await _start_again(keeper, row, report)


async def _answers(keeper: Keeper, placement: Placement) -> bool:
    try:
        await keeper.launcher.await_ready(placement)
    except NotReadyError as error:
        log.warning("instance left by an earlier run is not ready: %s", error.message)
        return False
    return True


async def _keep(keeper: Keeper, row: Instance, placement: Placement) -> None:
    async with keeper.database.unit_of_work() as session:
        if row.handle != placement.handle:
            await update_instance(session, row.id, handle=placement.handle)
        if row.status != "ready":
            await mark_ready(session, row.id)


async def _start_again(keeper: Keeper, row: Instance, report: Adoption) -> None:
    try:
        await keeper.bring_up(await keeper.spec_of(row))
    except EngineUnavailableError:
        raise
    except OError as error:
        await keeper.give_up(row.id, error.message)
        report.failed.append(row.id)
    else:
        report.started.append(row.id)


async def _for_each(rows: Sequence[Instance], work: Callable[[Instance], Awaitable[None]]) -> None:
    """At most a few at once; the first error is raised when all are done."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def limited(row: Instance) -> None:
        async with places:
            await work(row)

    results = await asyncio.gather(*map(limited, rows), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
