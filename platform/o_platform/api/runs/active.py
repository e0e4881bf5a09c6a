"""Runs that have no outcome yet, and where they stand in a listing: at its newest end.

They are in no table that a page could be read of: the bridge knows those that it runs, and
background runs that nobody has begun are rows of their own. Their ids begin with the time, so they
are in the order of their ids, and a cursor that has ended since the last page still has its place
among them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from o_contracts.control import RunningTurn
from o_platform.agents.paging import Page
from o_platform.api.runs.schemas import (
    RunListQuery,
    RunState,
    as_turn,
    background_state,
    running_state,
)
from o_platform.db.models import BackgroundRun


class Parts(NamedTuple):
    """What a page of all runs is cut from: runs without an outcome, and a page of ended ones."""

    active: list[RunState]
    ended: Page | None
    """None where no ended run can be on the page."""


def active_runs(
    running: Sequence[RunningTurn], waiting: Sequence[BackgroundRun], query: RunListQuery
) -> list[RunState]:
    """Those that are asked for, oldest first."""
    known = {turn.run_id for turn in running}
    begun = [running_state(turn) for turn in running if query.matches(turn)]
    others = [
        background_state(row)
        for row in waiting
        if row.run_id not in known and query.matches(as_turn(row))
    ]
    return sorted([*begun, *others], key=lambda run: run.id)


def page_of_active(active: Sequence[RunState], page: Page) -> list[RunState]:
    """A page of a listing of these alone; `active` is oldest first."""
    older, newer = (page.before, page.after) if page.descending else (page.after, page.before)
    found = [
        run
        for run in active
        if (older is None or run.id > older) and (newer is None or run.id < newer)
    ]
    return _cut(found[::-1] if page.descending else found, page)


def parts_of(active: Sequence[RunState], page: Page) -> Parts:
    """Which runs without an outcome, and which ended ones, may be on a page of both."""
    ids = [run.id for run in active]
    older, newer = (page.before, page.after) if page.descending else (page.after, page.before)
    start = ids.index(older) + 1 if older in ids else 0
    end = ids.index(newer) if newer in ids else len(ids) if newer is None else 0
    shown = list(active[start:end])
    if older in ids:
        return Parts(shown, None)
    if newer not in ids:
        return Parts(shown, page)
    if page.descending:
        return Parts(shown, replace(page, after=None))
    backwards = page.after is None
    return Parts(shown, replace(page, before=None, descending=backwards))


def joined(active: Sequence[RunState], ended: Collection[RunState], page: Page) -> list[RunState]:
    """The page of both, in the order of the listing; `active` and `ended` in any."""
    both = sorted(ended, key=lambda run: (run.created_at, run.id)) + list(active)
    return _cut(both[::-1] if page.descending else both, page)


def _cut(runs: list[RunState], page: Page) -> list[RunState]:
    backwards = page.before is not None and page.after is None
    return runs[-page.limit :] if backwards else runs[: page.limit]
