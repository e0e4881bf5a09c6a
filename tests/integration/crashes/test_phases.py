"""Instance, bridge and database are killed in every phase of a turn.

Each time the request, sent once, is answered, and has happened once: one run, its messages, its
memory edit; what was paid for is not paid again; and the same request again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any, Final

import httpx
import pytest

from .conftest import TableLock, World, wait_for

pytestmark = pytest.mark.integration

PARTS: Final = ("instance", "bridge", "database")
LOADING: Final = "'lineage', a.lineage"
SEARCHING: Final = "FROM messages"
COMMITTING: Final = "FROM runs JOIN unnest"
"""Parts of the queries that load an agent, search its messages, and commit a turn that edits."""
UNDER_WAY: Final = {("bridge", "first call"): 0, ("bridge", "between steps"): 1}
"""The model's call that dies with the bridge, which is then made again."""
STORED: Final = [
    "user_message", "tool_call_message", "tool_return_message", "tool_return_message",
    "assistant_message",
]  # fmt: skip
Reached = Callable[[], None]


def hold(world: World, phase: str, agent_id: str, said: str) -> AbstractContextManager[Reached]:
    """In it the agent's turn comes as far as the phase and no further; gives the wait for that."""
    match phase:
        case "opening":
            return held_up(world, "agents", LOADING)
        case "opened":
            return unheard(world, "agents", LOADING, lambda: is_running(world, agent_id))
        case "first call":
            return unanswered(world, said, 0)
        case "tool":
            return held_up(world, "messages", SEARCHING)
        case "between steps":
            return unanswered(world, said, 1)
        case "committing":
            return held_up(world, "runs", COMMITTING, after=said)
        case _:
            done = partial(runs_of, world, agent_id)
            return unheard(world, "runs", COMMITTING, done, after=said)


@contextmanager
def held_up(world: World, table: str, query: str, after: str = "") -> Iterator[Reached]:
    """The query waits for the table, which is locked at once or `after` the last step's call."""
    with locked(world, table, after) as lock:

        def reached() -> None:
            taken = lock()
            wait_for(lambda: taken.holds_up(query))

        yield reached


@contextmanager
def unheard(
    world: World, table: str, query: str, passed: Callable[[], Any], after: str = ""
) -> Iterator[Reached]:
    """The query has ended and its outcome is there, but the worker is stopped and hears nothing."""
    with locked(world, table, after) as lock:

        def reached() -> None:
            taken = lock()
            wait_for(lambda: taken.holds_up(query))
            world.stop_workers()
            taken.release()
            wait_for(passed)

        try:
            yield reached
        finally:
            world.continue_workers()


@contextmanager
def locked(world: World, table: str, after: str) -> Iterator[Callable[[], TableLock]]:
    """A lock on the table, released at the end; gives it, having waited until it may be taken."""
    with ExitStack() as stack:
        if not after:
            lock = world.database.lock(table)
            stack.callback(lock.release)
            yield lambda: lock
            return
        with world.model.holding(after, 1) as let_answer:

            def take() -> TableLock:
                wait_for(lambda: world.model.asked[after, 1])
                taken = world.database.lock(table)
                stack.callback(taken.release)
                let_answer()
                return taken

            yield take


@contextmanager
def unanswered(world: World, said: str, step: int) -> Iterator[Reached]:
    """The model is asked and does not answer."""
    with world.model.holding(said, step):
        yield lambda: wait_for(lambda: world.model.asked[said, step])


def is_running(world: World, agent_id: str) -> bool:
    runs = world.letta.runs.list(agent_id=agent_id, active=True).items
    return [run.status for run in runs] == ["running"]


def runs_of(world: World, agent_id: str) -> list[Any]:
    return world.rows("SELECT status FROM runs WHERE agent_id = %s", agent_id)


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [message["id"] for message in answer.json()["messages"]]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "phase",
    ["opening", "opened", "first call", "tool", "between steps", "committing", "committed"],
)
def test_a_turn_happens_once_whatever_dies(world: World, phase: str, part: str) -> None:
    said = f"{part} dies: {phase}"
    world.settle()
    agent_id = world.agent()
    body = {"messages": [{"role": "user", "content": said, "otid": f"otid-{agent_id}"}]}
    with ThreadPoolExecutor(1) as pool:
        with hold(world, phase, agent_id, said) as reached:
            answer = pool.submit(world.platform.send, agent_id, body)
            reached()
            world.kill(part)
        first = ids(answer.result(60))

    again = ids(world.platform.send(agent_id, body))
    assert again == first
    assert runs_of(world, agent_id) == [("completed",)]
    stored = world.rows("SELECT type, id FROM messages WHERE agent_id = %s ORDER BY seq", agent_id)
    assert [kind for kind, _ in stored] == STORED
    assert [message_id for _, message_id in stored][1:] == first
    block = world.letta.agents.blocks.retrieve("human", agent_id=agent_id)
    assert block.value == f"Ada\n{said}"
    paid = Counter({(said, 0): 1, (said, 1): 1})
    if (part, phase) in UNDER_WAY:
        paid[said, UNDER_WAY[part, phase]] += 1
    assert Counter({key: n for key, n in world.model.asked.items() if key[0] == said}) == paid
    assert world.rows("SELECT count(*) FROM journal WHERE agent_id = %s", agent_id) == [(0,)]
