"""Pages of runs, ended and not: every page of every listing is the slice that it should be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

from o_contracts.control import RunningTurn
from o_platform.agents.paging import Page, page_of
from o_platform.api.runs.active import active_runs, joined, page_of_active, parts_of
from o_platform.api.runs.schemas import RunListQuery, RunState

START = datetime(2026, 1, 1, tzinfo=UTC)
AGENT = "agent-00000001-0000-4000-8000-000000000000"


def run(number: int, status: str) -> RunState:
    """The run with this number; later ones have greater ones."""
    created = START + timedelta(seconds=number)
    return RunState(
        id=f"run-{number:08x}-0000-7000-8000-000000000000", agent_id=AGENT, status=status,
        stop_reason=None, created_at=created, completed_at=None, total_duration_ns=None,
        conversation_id=None, background=False, metadata={},
    )  # fmt: skip


ENDED = [run(number, "completed") for number in range(4)]
ACTIVE = [run(number, "running") for number in range(4, 7)]


def page_of_all(page: Page) -> list[str]:
    """What the endpoint does, with ended runs in memory."""
    shown, wanted = parts_of(ACTIVE, page)
    ended = [] if wanted is None else page_of(ENDED, wanted)
    return [one.id for one in joined(shown, ended, page)]


def test_pages_of_all_runs_are_slices() -> None:
    for descending, limit in product((True, False), range(1, 8)):
        whole = [one.id for one in ENDED + ACTIVE]
        if descending:
            whole.reverse()
        assert page_of_all(Page(limit, None, None, descending)) == whole[:limit]
        for place, cursor in enumerate(whole):
            after = page_of_all(Page(limit, None, cursor, descending))
            assert after == whole[place + 1 :][:limit]
            before = page_of_all(Page(limit, cursor, None, descending))
            assert before == whole[:place][-limit:]


def test_a_cursor_that_has_ended_still_has_its_place_among_active_runs() -> None:
    for descending in (True, False):
        order = ACTIVE[::-1] if descending else ACTIVE
        left = [ACTIVE[0], ACTIVE[2]]
        cursor = order.index(ACTIVE[1])
        rest = [one.id for one in order[cursor + 1 :]]
        page = Page(1, None, ACTIVE[1].id, descending)
        assert [one.id for one in page_of_active(left, page)] == rest
    assert page_of_active(ACTIVE, Page(2, ACTIVE[0].id, None, True)) == [ACTIVE[2], ACTIVE[1]]


def test_what_runs_is_in_the_order_of_its_beginning() -> None:
    turns = [RunningTurn(one.id, AGENT, True, 0, "v", "i", None, False) for one in ACTIVE[::-1]]
    assert [one.id for one in active_runs(turns, [], RunListQuery())] == [one.id for one in ACTIVE]
