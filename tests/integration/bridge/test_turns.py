"""Turns on a real database: once, in order, whole."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from o_contracts.bridge import TURN_ABANDON, TurnAbandon, TurnCommitted, TurnOpened
from o_contracts.frames import Empty, Kind
from o_contracts.ids import new_agent_id, new_id, now_us
from o_contracts.messages import Message, Usage
from o_platform.agents.stored_messages import stored_message
from o_platform.agents.turn_batch import AgentGoneError, TurnRecord, TurnWriter
from o_platform.testing.peer import RefusedError
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration

TOKENS = (
    "SELECT prompt_tokens, completion_tokens FROM runs "
    "UNION ALL SELECT prompt_tokens, completion_tokens FROM steps"
)


async def test_a_turn_is_written_whole(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent, "r1", client="key-1")
    assert turn.context.system == "be good"
    reply = await worker.llm(turn, "hello")
    assert reply.text == "echo: hello"
    committed = await worker.commit(agent, turn, "hello")

    assert committed == TurnCommitted(2)
    run = rows.all(
        "SELECT id, request_key, status, variant, instance_id, client, step_count FROM runs"
    )
    assert run == [
        (turn.run_id, "request:r1", "completed", "v" * 64, worker.instance_id, "key-1", 1)
    ]
    assert rows.all(TOKENS) == [(reply.usage.prompt_tokens, reply.usage.completion_tokens)] * 2
    stored = rows.all("SELECT type, body FROM messages ORDER BY seq")
    assert [(kind, body["content"]) for kind, body in stored] == [
        ("user_message", "hello"),
        ("assistant_message", "echo: hello"),
    ]
    assert rows.all("SELECT run_id, model FROM steps") == [(turn.run_id, "o/echo")]
    assert rows.all("SELECT version, last_stop_reason FROM agents") == [(2, "end_turn")]


async def test_steps_are_listed_in_the_order_they_were_made(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent, "r1")
    for number in range(8):
        await worker.llm(turn, "again", seq=number)
    steps = tuple(new_id("step") for _ in range(8))
    await worker.commit(agent, turn, step_ids=steps)
    assert rows.all("SELECT id FROM steps ORDER BY created_at") == [(step,) for step in steps]
    assert rows.one("SELECT count(DISTINCT created_at) FROM steps") == 8


async def test_an_instance_does_not_count_its_own_tokens(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent, "r1")
    await worker.commit(agent, turn)
    assert rows.all(TOKENS) == [(0, 0)]  # no model call, no step
    again = await worker.open(agent, "r1", attempt=2)
    assert again.finished.usage == Usage()


async def test_the_context_is_sent_only_when_it_changed(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    committed = await worker.run(agent)
    again = await worker.open(agent, have_version=committed.version)
    assert (again.version, again.context) == (2, None)
    await worker.commit(agent, again)
    stale = await worker.open(agent, have_version=2)
    assert stale.version == 3
    assert [m.content for m in stale.context.messages] == ["hi", "echo: hi"] * 2


async def test_the_history_is_as_long_as_asked_for(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    worker = await new_worker()
    for number in range(3):
        await worker.run(agent, text=f"n{number}")
    turn = await worker.open(agent, history=2)
    assert [m.content for m in turn.context.messages] == ["n2", "echo: n2"]
    assert turn.context.earlier_messages == 4


async def test_a_repeated_open_is_answered_from_the_record(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    first, second = await new_worker(), await new_worker("canary")
    await first.run(agent, "r1", "hello")
    again = await second.open(agent, "r1", attempt=2)
    assert [m.content for m in again.finished.messages] == ["hello", "echo: hello"]
    assert (again.finished.stop_reason, again.finished.step_count) == ("end_turn", 1)
    assert rows.one("SELECT count(*) FROM runs") == 1


async def test_requests_with_the_same_otids_are_one_turn(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    await worker.run(agent, "r1", otids=["a", "b"])
    assert (await worker.open(agent, "r2", otids=["a", "b"])).finished is not None
    assert (await worker.open(agent, "r3", otids=["a"])).finished is None


async def test_an_sdk_retry_without_otids_is_recognised_by_its_body(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    await worker.run(agent, "r1", body_digest="d", client="c")
    same = await worker.open(agent, "r2", body_digest="d", client="c", sdk_retry=1)
    assert same.finished is not None
    for fields in ({"client": "other"}, {"body_digest": "other"}, {"sdk_retry": 0}):
        request = {"body_digest": "d", "client": "c", "sdk_retry": 1} | fields
        turn = await worker.open(agent, **request)
        assert turn.finished is None
        await worker.commit(agent, turn)


async def test_an_sdk_retry_repeats_the_newest_request_with_its_body(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    request: dict[str, Any] = {"body_digest": "d", "client": "c"}
    await worker.run(agent, "r1", **request)
    failed = await worker.open(agent, "r2", **request)
    abandon = TurnAbandon(failed.token, failed.run_id, "llm_error", "told to fail")
    await worker.peer.ask(TURN_ABANDON, abandon, Empty)
    repeated = await worker.open(agent, "r3", sdk_retry=1, **request)
    assert repeated.finished is None
    await worker.commit(agent, repeated)
    assert rows.one("SELECT count(*) FROM runs") == 2


async def test_a_running_turn_is_joined(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    first, second = await new_worker(), await new_worker()
    turn = await first.open(agent, "r1")
    joined = second.ask_open(agent, "r1", attempt=2)
    await second.open(rows.agent())  # the bridge has seen the frame before this one
    assert second.peer.is_waiting(joined)
    await first.commit(agent, turn, "hello")
    answer = await second.peer.answer(joined, TurnOpened)
    assert (answer.run_id, answer.token) == (turn.run_id, 0)
    assert answer.finished.messages[1].content == "echo: hello"


async def test_turns_of_an_agent_run_in_the_order_they_arrived(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    workers = [await new_worker() for _ in range(4)]
    first = await workers[0].open(agent)
    waiting = []
    for worker in workers[1:]:
        waiting.append(worker.ask_open(agent))
        await worker.open(rows.agent())
    await workers[0].commit(agent, first, "0")
    for number, (worker, exchange) in enumerate(zip(workers[1:], waiting, strict=True), 1):
        turn = await worker.peer.answer(exchange, TurnOpened)
        later = zip(workers[number + 1 :], waiting[number:], strict=True)
        assert all(other.peer.is_waiting(exchange) for other, exchange in later)
        await worker.commit(agent, turn, str(number))
    sent = rows.all("SELECT body FROM messages WHERE type = 'user_message' ORDER BY seq")
    assert [body["content"] for (body,) in sent] == ["0", "1", "2", "3"]


async def test_a_wait_for_earlier_turns_is_bounded(
    settings: Any, run_bridge: Any, new_worker: Any, rows: Any
) -> None:
    settings.turn_wait_s = 2.0  # shorter, and a stall of the machine looks like a silent holder
    async with run_bridge():
        agent = rows.agent()
        first, second = await new_worker(), await new_worker()
        turn = await first.open(agent)
        waiting = second.ask_open(agent)
        while second.peer.is_waiting(waiting):
            await first.tool(turn, "still_here", "{}")
        with pytest.raises(RefusedError, match="409 busy"):
            await second.peer.answer(waiting, TurnOpened)
        await first.commit(agent, turn)


async def test_a_silent_holder_is_fenced_for_the_next_in_line(
    settings: Any, run_bridge: Any, new_worker: Any, rows: Any
) -> None:
    settings.turn_wait_s = 0.1
    async with run_bridge():
        agent = rows.agent()
        first, second = await new_worker(), await new_worker()
        silent = await first.open(agent)
        turn = await second.open(agent)
        with pytest.raises(RefusedError, match="409 fenced"):
            await first.commit(agent, silent)
        await second.commit(agent, turn)
    assert rows.one("SELECT count(*) FROM runs") == 1


async def test_an_abandoned_turn_lets_the_next_one_run(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent, "r1")
    waiting = worker.ask_open(agent, "r2")
    await worker.peer.ask(TURN_ABANDON, TurnAbandon(turn.token, turn.run_id, "x", "gone"), Empty)
    following = await worker.peer.answer(waiting, TurnOpened)
    assert following.token > turn.token
    with pytest.raises(RefusedError, match="409 fenced"):
        await worker.commit(agent, turn)


async def test_a_cancelled_open_leaves_the_queue(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent)
    cancelled, waiting = worker.ask_open(agent), worker.ask_open(agent)
    worker.peer.send(Kind.CANCEL, cancelled, "turn.open", Empty())
    await worker.commit(agent, turn)
    await worker.commit(agent, await worker.peer.answer(waiting, TurnOpened))
    assert worker.peer.is_waiting(cancelled)


async def test_a_dead_workers_turn_is_taken_over_under_a_new_token(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    first, second = await new_worker("canary"), await new_worker()
    dead = await first.open(agent, "r1")
    joined = second.ask_open(agent, "r1", attempt=2)
    await second.open(rows.agent())
    await first.peer.die()
    turn = await second.peer.answer(joined, TurnOpened)
    assert (turn.run_id, turn.finished) == (dead.run_id, None)
    assert turn.token > dead.token
    assert turn.context is not None
    await second.commit(agent, turn)
    assert rows.all("SELECT instance_id FROM runs") == [(second.instance_id,)]


async def test_a_token_is_worth_nothing_on_another_connection(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    first, second = await new_worker(), await new_worker()
    turn = await first.open(agent)
    for stolen in (second.commit(agent, turn), second.llm(turn, "x"), second.tool(turn, "x", "")):
        with pytest.raises(RefusedError, match="409 fenced"):
            await stolen
    await first.commit(agent, turn)


async def test_unknown_agents_and_other_lineages_are_not_found(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    rows.lineage("other", 2)
    stranger = rows.agent("other")
    worker = await new_worker()
    for agent in (new_agent_id(1), stranger):
        with pytest.raises(RefusedError, match=f"404 not_found: Agent {agent} not found"):
            await worker.open(agent)
    other = await new_worker(lineage="other")
    assert (await other.open(stranger)).context is not None


@pytest.mark.parametrize("table", ["runs", "agents"])
async def test_a_turn_that_cannot_be_prepared_does_not_block_its_agent(
    bridge: Any, new_worker: Any, rows: Any, table: str
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    rows.all(f"ALTER TABLE {table} RENAME TO elsewhere")
    opening = [worker.ask_open(agent, "r1", attempt=2), worker.ask_open(agent, "r2", attempt=2)]
    for exchange in opening:
        with pytest.raises(RefusedError, match="500 internal"):
            await worker.peer.answer(exchange, TurnOpened)
    rows.all(f"ALTER TABLE elsewhere RENAME TO {table}")
    assert (await worker.run(agent, "r1")).version == 2


async def test_names_that_cannot_be_stored_are_replaced_or_refused(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    await worker.run(agent, "r1", otids=["a\0b"])
    assert (await worker.open(agent, "r2", otids=["a\0b"])).finished is not None
    with pytest.raises(RefusedError, match="500 internal"):
        await worker.open("agent-\0")


async def test_a_bad_turn_does_not_fail_its_neighbours(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agents = [rows.agent() for _ in range(8)]
    worker = await new_worker()
    turns = [await worker.open(agent) for agent in agents]
    taken = new_id("message")
    # All in one write, so that they are in one batch (the first goes alone).
    commits = [
        worker.ask_commit(agent, turn, ids=(taken, taken) if number == 4 else ())
        for number, (agent, turn) in enumerate(zip(agents, turns, strict=True))
    ]
    for number, exchange in enumerate(commits):
        if number == 4:
            with pytest.raises(RefusedError, match="409 conflict"):
                await worker.peer.answer(exchange, TurnCommitted)
        else:
            assert (await worker.peer.answer(exchange, TurnCommitted)).version == 2
    assert bridge.counters.retried_alone > 0
    assert rows.one("SELECT count(*) FROM runs") == 7
    assert rows.one("SELECT count(*) FROM messages") == 14
    assert rows.one("SELECT version FROM agents WHERE id = %s", agents[4]) == 1


async def test_turns_that_end_together_share_transactions(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agents = [rows.agent() for _ in range(32)]
    worker = await new_worker()
    turns = [await worker.open(agent) for agent in agents]
    commits = [worker.ask_commit(agent, turn) for agent, turn in zip(agents, turns, strict=True)]
    for exchange in commits:
        await worker.peer.answer(exchange, TurnCommitted)
    assert bridge.counters.committed == 32
    assert bridge.counters.batches <= 4


async def test_an_agent_deleted_meanwhile_is_not_found(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent)
    rows.all("DELETE FROM agents WHERE id = %s", agent)
    with pytest.raises(RefusedError, match="404 not_found"):
        await worker.commit(agent, turn)
    assert rows.one("SELECT count(*) FROM messages") == 0


async def test_a_role_that_must_check_references_writes_too(rows: Any) -> None:
    agent = rows.agent()
    role = f"plain_{agent[-12:]}"
    rows.all(f"CREATE ROLE {role} LOGIN")
    try:
        rows.all(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        url = rows.url.replace("//postgres@", f"//{role}@")
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        writer = await TurnWriter.on(connection)
        record = turn_record(agent)
        assert await writer.write([record]) == {record.run_id: 2}
        with pytest.raises(AgentGoneError):
            await writer.write([turn_record(agent), turn_record(new_agent_id(1))])
        assert rows.one("SELECT count(*) FROM runs") == 1
        await writer.close()
    finally:
        rows.all(f"DROP OWNED BY {role}")
        rows.all(f"DROP ROLE {role}")


async def test_a_nul_in_a_message_is_replaced_not_refused(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent)
    await worker.commit(agent, turn, "a\0b \\u0000")
    assert (
        rows.one("SELECT body FROM messages WHERE type = 'user_message'")["content"]
        == "a\ufffdb \\u0000"
    )


async def test_a_commit_finished_by_a_lost_predecessor_returns_the_first_result(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    await worker.run(agent, "warm")
    turn = await worker.open(agent, "r1")
    rows.all(
        "INSERT INTO runs (id, agent_id, request_key, status, stop_reason, variant, instance_id, "
        "client, prompt_tokens, completion_tokens, cached_input_tokens, reasoning_tokens, "
        "step_count, duration_us) VALUES ('run-x', %s, 'request:r1', 'completed', 'end_turn', "
        "'v', 'i', '', 1, 2, 0, 0, 1, 5)",
        agent,
    )
    rows.all(
        "INSERT INTO messages (id, agent_id, run_id, type, body) VALUES ('m', %s, 'run-x', "
        '\'assistant_message\', \'{"id": "m", "type": "assistant_message", "date_us": 1, '
        '"content": "first"}\')',
        agent,
    )
    committed = await worker.commit(agent, turn)
    assert committed.version == 0
    assert [m.content for m in committed.finished.messages] == ["first"]
    assert rows.one("SELECT count(*) FROM runs WHERE request_key = 'request:r1'") == 1


async def test_turns_wait_while_postgres_breaks_connections(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    await worker.run(agent)
    turn = await worker.open(agent)
    rows.all(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    assert (await worker.commit(agent, turn)).version == 3
    fresh = rows.agent()
    assert (await worker.open(fresh)).context.agent_id == fresh
    assert rows.one("SELECT count(*) FROM runs") == 2


async def test_many_workers_share_few_agents(bridge: Any, new_worker: Any, rows: Any) -> None:
    agents = [rows.agent() for _ in range(5)]
    workers = [await new_worker() for _ in range(3)]

    async def client(number: int) -> None:
        for turn_number in range(6):
            agent = agents[(number + turn_number) % len(agents)]
            await workers[number % 3].run(agent, f"{number}-{turn_number}")

    await asyncio.gather(*(client(number) for number in range(12)))
    assert rows.one("SELECT count(*) FROM runs") == 72
    assert rows.one("SELECT count(*) FROM messages") == 144
    assert rows.one("SELECT sum(version - 1) FROM agents") == 72
    assert bridge.counters.open_turns == 0


def turn_record(agent_id: str) -> TurnRecord:
    run_id = new_id("run")
    message = Message(new_id("message"), "user_message", now_us(), "hello", run_id=run_id)
    counts = (1, 1, 0, 0)
    return TurnRecord(
        run_id, agent_id, f"request:{run_id}", "", "completed", "end_turn", "v", "i", "",
        *counts, 1, 100, False, [stored_message(vault_of_tests(), message)], [],
    )  # fmt: skip
