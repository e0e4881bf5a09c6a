"""The bridge dies, workers die, models are paid once all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from tests.integration.supervised import supervised

from o_contracts.bridge import HELLO, TURN_PUBLISH, Hello, TurnOpened, TurnPublish
from o_contracts.control import TURNS_CANCEL, ControlWelcome, TurnsCancel, TurnsCancelled
from o_contracts.frames import Empty, Kind, decode_body
from o_contracts.llm import LlmDelta, LlmResult
from o_platform.testing.peer import Peer, RefusedError
from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration


async def test_a_paid_reply_is_journaled_and_not_paid_again(
    bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    agent = rows.agent()
    first, second = await new_worker(), await new_worker()
    turn = await first.open(agent, "r1")
    assert (await first.llm(turn, "hello", "test/m")).text == "reply 1"
    assert rows.all("SELECT kind, seq, request_key FROM journal") == [("llm", 0, "request:r1")]
    await first.peer.die()

    again = await second.open(agent, "r1", attempt=2)
    assert (await second.llm(again, "hello", "test/m")).text == "reply 1"
    assert (await second.llm(again, "something else", "test/m")).text == "reply 2"
    await second.commit(agent, again)
    assert model_server.calls == 2
    assert rows.one("SELECT count(*) FROM journal") == 0


async def test_an_agent_is_loaded_while_its_request_is_looked_up(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent, worker = rows.agent(), await new_worker()
    with psycopg.connect(rows.url) as blocker:
        blocker.execute("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")
        asked = worker.ask_open(agent, "r1", attempt=2)
        await until(lambda: bridge.cache.get(agent))
        assert bridge.counters.open_turns == 0
    turn = await worker.peer.answer(asked, TurnOpened)
    assert turn.context.agent_id == agent
    await worker.commit(agent, turn)


async def test_a_repeated_request_is_answered_though_its_agent_cannot_be_loaded(
    run_bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    async with run_bridge():
        await (await new_worker()).run(agent, "r1")
    async with run_bridge():
        worker = await new_worker()
        rows.all("UPDATE agents SET tool_rules = '7' WHERE id = %s", agent)
        again = await worker.open(agent, "r1", attempt=2)
        assert len(again.finished.messages) == 2


async def test_a_reply_under_way_when_its_worker_dies_is_kept_for_the_next(
    bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    agent = rows.agent()
    first, second = await new_worker(), await new_worker()
    model_server.may_answer.clear()
    turn = await first.open(agent, "r1")
    first.ask_llm(turn, "hello", "test/m", stream=True)
    await until(lambda: model_server.calls)
    await first.peer.die()
    again = await second.open(agent, "r1", attempt=2)
    asked = second.ask_llm(again, "hello", "test/m")
    await second.open(rows.agent())
    model_server.may_answer.set()
    assert (await second.peer.answer(asked, LlmResult)).text == "reply 1"
    await second.commit(agent, again)
    assert model_server.calls == 1


async def test_a_cancelled_call_stops_at_the_model(
    bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    worker = await new_worker()
    model_server.may_answer.clear()
    turn = await worker.open(rows.agent())
    asked = worker.ask_llm(turn, "hello", "test/m")
    await until(lambda: model_server.calls)
    worker.peer.send(Kind.CANCEL, asked, "llm.complete", Empty())
    await until(lambda: model_server.cancelled)
    assert rows.one("SELECT count(*) FROM journal") == 0


async def test_who_stops_waiting_for_a_reply_takes_it_from_nobody(
    bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    agent = rows.agent()
    first, second = await new_worker(), await new_worker()
    model_server.may_answer.clear()
    turn = await first.open(agent, "r1")
    first.ask_llm(turn, "hello", "test/m")
    await until(lambda: model_server.calls)
    await first.peer.die()
    again = await second.open(agent, "r1", attempt=2)
    given_up, wanted = (second.ask_llm(again, "hello", "test/m") for _ in range(2))
    await until(lambda: bridge.counters.llm_calls == 3)
    second.peer.send(Kind.CANCEL, given_up, "llm.complete", Empty())
    await second.open(rows.agent())  # the bridge has seen the frame before this one
    model_server.may_answer.set()
    assert (await second.peer.answer(wanted, LlmResult)).text == "reply 1"
    assert model_server.calls == 1
    await second.commit(agent, again)


async def test_a_cancelled_turn_whose_worker_dies_is_over_for_who_waits_for_it(
    bridge: Any, new_worker: Any, rows: Any, settings: Any
) -> None:
    agent = rows.agent()
    first, second = await new_worker(), await new_worker()
    turn = await first.open(agent, "r1")
    joined = second.ask_open(agent, "r1", attempt=2)
    await second.open(rows.agent())  # the bridge has seen the frame before this one
    control = await Peer.connect(settings.run / "bridge.sock")
    told = await control.ask(TURNS_CANCEL, TurnsCancel(agent), TurnsCancelled)
    assert told.run_ids == [turn.run_id]
    await first.peer.die()
    answer = await second.peer.answer(joined, TurnOpened)
    assert (answer.run_id, answer.finished.stop_reason) == (turn.run_id, "cancelled")
    assert rows.all("SELECT id, status FROM runs") == [(turn.run_id, "cancelled")]
    await second.run(agent)
    await control.die()


async def test_events_that_cannot_be_stored_hold_up_no_other_turn(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    worker = await new_worker()
    agents = [rows.agent() for _ in range(3)]
    turns = [await worker.open(agent, background="{}") for agent in agents]
    rows.all(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE foreign_key_violation; END'"
    )
    rows.all(
        "CREATE TRIGGER refuse BEFORE INSERT ON run_events FOR EACH ROW "
        f"WHEN (NEW.run_id = '{turns[1].run_id}') EXECUTE FUNCTION refuse()"
    )
    publish = [TurnPublish(turn.token, turn.run_id, 1, ["{}"]) for turn in turns]
    told = [worker.peer.start(TURN_PUBLISH, body) for body in publish]
    for exchange in told:
        await worker.peer.answer(exchange, Empty)
    for agent, turn in zip(agents, turns, strict=True):
        await worker.commit(agent, turn)
    kept = {run_id for (run_id,) in rows.all("SELECT run_id FROM run_events")}
    assert kept == {turns[0].run_id, turns[2].run_id}


async def test_a_spent_budget_refuses_the_next_call(
    settings: Any, run_bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    settings.variant_budget_usd = 0.2
    async with run_bridge():
        worker = await new_worker()
        turn = await worker.open(rows.agent())
        await worker.llm(turn, "hello", "test/m")
        with pytest.raises(RefusedError, match="429 budget_exceeded"):
            await worker.llm(turn, "more", "test/m", seq=1)
        assert (await worker.llm(turn, "built in", seq=2)).text == "echo: built in"


@pytest.mark.parametrize("words", [62, 63, 64])
async def test_a_short_stream_of_echo_is_whole(
    bridge: Any, new_worker: Any, rows: Any, words: int
) -> None:
    """Sent at once up to the free credit, piece by piece beyond it: no difference to be seen."""
    worker = await new_worker()
    turn = await worker.open(rows.agent())
    text = " ".join(["word"] * words)
    asked = worker.ask_llm(turn, text, stream=True)
    deltas = []
    while (frame := await worker.peer.frame(asked)).kind == Kind.CHUNK:
        deltas.append(decode_body(frame, LlmDelta).text)
        if len(deltas) == 64:
            worker.peer.send(Kind.CREDIT, asked, "llm.complete", 64)
    assert frame.kind == Kind.END
    result = decode_body(frame, LlmResult)
    assert (len(deltas), "".join(deltas), result.text) == (words + 1, result.text, f"echo: {text}")
    await worker.commit(turn.context.agent_id, turn, text)


async def test_a_stream_waits_for_credit(bridge: Any, new_worker: Any, rows: Any) -> None:
    worker = await new_worker()
    turn = await worker.open(rows.agent())
    asked = worker.ask_llm(turn, " ".join(["word"] * 200), stream=True)
    free = [await worker.peer.frame(asked) for _ in range(64)]
    assert {frame.kind for frame in free} == {Kind.CHUNK}
    await worker.llm(turn, "other exchanges go on", seq=1)
    assert worker.peer.is_waiting(asked)
    worker.peer.send(Kind.CREDIT, asked, "llm.complete", 1000)
    kinds = []
    while not kinds or kinds[-1] == Kind.CHUNK:
        kinds.append((await worker.peer.frame(asked)).kind)
    assert (len(kinds), kinds[-1]) == (201 - 64 + 1, Kind.END)


async def test_a_new_bridge_resumes_from_the_journal_and_fences_the_old_token(
    run_bridge: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    agent = rows.agent()
    async with run_bridge():
        worker = await new_worker()
        before = await worker.open(agent, "r1")
        await worker.llm(before, "hello", "test/m")
    async with run_bridge():
        worker = await new_worker(instance_id=worker.instance_id)
        with pytest.raises(RefusedError, match="409 fenced"):
            await worker.commit(agent, before)
        again = await worker.open(agent, "r1")
        assert again.token >> 32 > before.token >> 32
        assert (await worker.llm(again, "hello", "test/m")).text == "reply 1"
        await worker.commit(agent, again)
    assert model_server.calls == 1
    assert rows.one("SELECT count(*) FROM runs") == 1


async def test_a_new_bridge_answers_what_its_predecessor_finished(
    run_bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    async with run_bridge():
        worker = await new_worker()
        await worker.run(agent, "r1", "hello", client="c", body_digest="d")
    async with run_bridge():
        worker = await new_worker(instance_id=worker.instance_id)
        again = await worker.open(agent, "r1")
        assert again.finished.messages[1].content == "echo: hello"
        retry = await worker.open(agent, "r2", client="c", body_digest="d", sdk_retry=1)
        assert retry.finished.messages[1].content == "echo: hello"
    assert rows.one("SELECT count(*) FROM runs") == 1


@asynccontextmanager
async def bridge_process(settings: Any, url: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "o_platform.bridge",
        env=os.environ | {
            "O_HOME": str(settings.home), "O_RUN_DIR": str(settings.run_dir), "DATABASE_URL": url
        },
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            while await serving_pid(settings.run / "bridge.sock") != process.pid:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def test_a_killed_bridge_loses_no_turn(
    settings: Any, new_worker: Any, rows: Any, model_server: Any
) -> None:
    agents = [rows.agent() for _ in range(6)]
    async with bridge_process(settings, rows.url) as process:
        worker = await new_worker()
        instance_id = worker.instance_id
        turns = [await worker.open(agent, f"r-{agent}") for agent in agents]
        for turn in turns:
            await worker.llm(turn, "hello", "test/m")
        for agent, turn in zip(agents, turns, strict=True):
            worker.ask_commit(agent, turn, "hello")
        # Killed somewhere in its commits: some are durable, some are not, no answer is sure.
        await worker.peer.frame(worker.ask_open(rows.agent()))
        process.kill()
    async with bridge_process(settings, rows.url) as process:
        worker = await new_worker(instance_id=instance_id)
        for agent in agents:
            turn = await worker.open(agent, f"r-{agent}")
            if turn.finished is None:
                assert (await worker.llm(turn, "hello", "test/m")).text.startswith("reply")
                await worker.commit(agent, turn, "hello")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert model_server.calls == len(agents)
    assert rows.one("SELECT count(*) FROM runs") == len(agents)
    assert rows.one("SELECT count(*) FROM messages") == 2 * len(agents)
    assert rows.one("SELECT count(*) FROM journal") == 0


async def test_a_killed_bridge_is_forked_anew_at_once(
    settings: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    control = settings.run / "bridge.sock"
    with supervised(settings, rows.url, "bridge") as running:
        worker = await new_worker()
        instance_id = worker.instance_id
        await worker.run(agent, "r1")
        before = await worker.open(agent, "r2")
        killed = running.pid("bridge")
        assert await serving_pid(control) == killed
        killed_at = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        await asyncio.wait_for(worker.peer.lost.wait(), 20)
        worker = await connected_again(new_worker, instance_id)
        assert (await worker.open(agent, "r1")).finished is not None
        away_s = time.monotonic() - killed_at
        # Far below what a start takes, and far above what it is on a quiet machine.
        assert away_s < 0.5
        again = await worker.open(agent, "r2")
        assert again.token >> 32 > before.token >> 32
        await worker.commit(agent, again)
        successor = await asyncio.to_thread(running.await_successor, "bridge", killed)
        assert await serving_pid(control) == successor
    assert not psutil.pid_exists(successor)
    assert rows.one("SELECT count(*) FROM runs") == 2


async def test_a_second_bridge_takes_over_from_the_first(
    settings: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    async with bridge_process(settings, rows.url) as first:
        worker = await new_worker()
        running = await worker.open(agent, "r1")
        async with bridge_process(settings, rows.url):
            await asyncio.wait_for(worker.peer.lost.wait(), 20)
            assert await first.wait() == 0
            worker = await new_worker(instance_id=worker.instance_id)
            again = await worker.open(agent, "r1")
            assert again.token >> 32 > running.token >> 32
            await worker.commit(agent, again)
    assert rows.one("SELECT count(*) FROM runs") == 1


async def connected_again(new_worker: Any, instance_id: str) -> Any:
    """As workers do: a bridge that is just dying may still take a connection, and reset it."""
    async with asyncio.timeout(10):
        while True:
            with suppress(ConnectionResetError):
                return await new_worker(instance_id=instance_id)


async def serving_pid(control: Path) -> int:
    try:
        peer = await Peer.connect(control, hello=False)
        welcome = await peer.ask(HELLO, Hello([1], "", os.getpid()), ControlWelcome)
    except (FileNotFoundError, ConnectionError):
        return 0
    await peer.die()
    return welcome.pid
