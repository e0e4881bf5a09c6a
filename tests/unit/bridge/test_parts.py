"""The bridge's pure parts: caches, views, memory edits, memos."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from o_contracts.bridge import TurnOpen
from o_contracts.llm import LlmMessage, LlmRequest
from o_contracts.messages import AgentContext, Block, Message
from o_platform.agents.past_runs import JournalRow
from o_platform.bridge.connection import Connection
from o_platform.bridge.contexts import CachedAgent, ContextCache
from o_platform.bridge.counters import Counters
from o_platform.bridge.lru import Lru
from o_platform.bridge.memo import Memo, digest_llm
from o_platform.bridge.overlay import MAX_CHANGES, MemoryConflictError, Overlay
from o_platform.bridge.snapshots import Snapshots
from o_platform.bridge.table import TurnTable
from o_platform.bridge.turn import Caller, Opening, Turn, TurnKey
from o_platform.bridge.views import AgentView
from o_tools.edits import MemoryInsert, MemoryReplace, MemoryRethink
from o_tools.errors import ToolError
from o_tools.files import CreateBlock

pytestmark = pytest.mark.unit


def message(number: int) -> Message:
    return Message(f"message-{number}", "user_message", number, str(number))


def view(agent_id: str = "a", messages: int = 0, earlier: int = 0) -> AgentView:
    return AgentView.of(
        AgentContext(
            agent_id, 1, "ada", "letta_v1_agent", "", "o/echo", {}, [], [],
            [message(n) for n in range(messages)], earlier,
        )
    )  # fmt: skip


def cached(agent_id: str, messages: int = 0) -> CachedAgent:
    return CachedAgent("default", view(agent_id, messages))


def numbers(context: AgentContext) -> list[str | list[dict[str, object]] | None]:
    return [m.content for m in context.messages]


def test_the_lru_forgets_what_was_not_used_for_longest() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.get("a") == 1
    lru.put("c", 3)
    assert (lru.get("a"), lru.get("b"), lru.get("c"), len(lru)) == (1, None, 3, 2)
    assert lru.pop("a") == 1
    assert lru.pop("a") is None


def test_the_cache_is_bounded_by_messages() -> None:
    cache = ContextCache(capacity=25)
    for agent in "abc":
        cache.put(cached(agent, messages=9))
    assert [cache.get(agent) is not None for agent in "abc"] == [False, True, True]
    cache.put(cached("b", messages=1))
    cache.put(cached("a", messages=9))
    assert [cache.get(agent) is not None for agent in "abc"] == [True, True, True]


def test_an_entry_advances_only_from_its_own_version() -> None:
    cache = ContextCache()
    entry = cached("a")
    cache.put(entry)
    following = entry.view.after(2, [message(0)], [])
    cache.advance(entry.view, following)
    cache.advance(entry.view, entry.view.after(9, [], []))
    kept = cache.get("a")
    assert kept is not None
    assert kept.view is following


def test_what_was_dropped_does_not_come_back() -> None:
    cache = ContextCache()
    entry = cached("a")
    cache.put(entry)
    cache.drop(["a", "b"])
    cache.advance(entry.view, entry.view.after(2, [], []))
    assert cache.get("a") is None
    assert cache.drops == 1


def test_views_of_following_versions_share_a_log_and_stay_as_they_were() -> None:
    first = view(messages=2, earlier=5)
    second = first.after(2, [message(2)], [])
    other = first.after(2, [message(9)], [])
    assert numbers(first.shown(60)) == ["0", "1"]
    assert numbers(second.shown(60)) == ["0", "1", "2"]
    assert numbers(other.shown(60)) == ["0", "1", "9"]
    shown = second.shown(1)
    assert (numbers(shown), shown.earlier_messages, shown.version) == (["2"], 7, 2)
    assert (second.holds(3), second.holds(4)) == (True, False)
    assert view(messages=2).holds(100)


def test_a_long_history_is_cut_and_counted() -> None:
    last = view()
    for number in range(400):
        last = last.after(number + 2, [message(number)], [])
        assert last.holds(min(60, number + 1))
        assert last.length + last.shown(10**6).earlier_messages == number + 1
    assert last.length < 200
    assert numbers(last.shown(2)) == ["398", "399"]


def block(value: str, version: int = 1, **fields: object) -> Block:
    return Block("b1", "human", value, 20, version=version, **fields)  # type: ignore[arg-type]


def test_edits_add_up_and_are_one_new_version() -> None:
    overlay = Overlay([block("one")])
    overlay.edit(MemoryInsert("human", "two"), "memory_insert")
    changed = overlay.edit(MemoryReplace("human", "one", "1"), "memory_replace")
    assert (changed.value, changed.version) == ("1\ntwo", 2)
    assert overlay.edited["b1"].value_on(block("one")) == "1\ntwo"
    fresh = block("zero\none", version=7)
    assert overlay.edited["b1"].value_on(fresh) == "zero\n1\ntwo"


def test_a_block_made_renamed_and_removed_in_one_turn_leaves_nothing() -> None:
    overlay = Overlay([block("one")])
    made = overlay.create(CreateBlock("plan", "a", None))
    overlay.edit(MemoryInsert("plan", "b"), "memory")
    assert overlay.rename("plan", "plans").value == "a\nb"
    assert [b.label for b in overlay.blocks()] == ["human", "plans"]
    assert overlay.created[made.id].label == "plans"
    assert not overlay.edited
    overlay.remove("plans")
    assert not overlay
    overlay.edit(MemoryInsert("human", "two"), "memory")
    overlay.remove("human")
    assert (overlay.edited, overlay.removed) == ({}, {"b1"})


def test_a_failed_edit_changes_nothing() -> None:
    overlay = Overlay([block("one")])
    with pytest.raises(ToolError, match="limit is 20"):
        overlay.edit(MemoryInsert("human", "x" * 20), "memory_insert")
    assert not overlay
    assert overlay.blocks() == [block("one")]


def test_the_changes_of_a_turn_are_bounded() -> None:
    overlay = Overlay([block("one")])
    for _ in range(MAX_CHANGES - 1):
        overlay.keep("a text", [])
    overlay.edit(MemoryInsert("human", "two"), "memory_insert")
    with pytest.raises(ToolError, match="256 times"):
        overlay.keep("a text", [])
    with pytest.raises(ToolError, match="256 times"):
        overlay.edit(MemoryInsert("human", "three"), "memory_insert")
    assert (len(overlay.passages), overlay.blocks()[0].value) == (255, "one\ntwo")


@pytest.mark.parametrize(
    ("edit", "fresh"),
    [
        (MemoryReplace("human", "one", "two"), block("zero", 2)),
        (MemoryRethink("human", "two"), block("one", 2)),
        (MemoryInsert("human", "two"), block("x" * 18, 2)),
        (MemoryInsert("human", "two"), block("one", 2, read_only=True)),
    ],
)
def test_edits_that_do_not_fit_the_new_text_are_a_conflict(
    edit: MemoryInsert, fresh: Block
) -> None:
    overlay = Overlay([block("one")])
    overlay.edit(edit, "memory_rethink")
    with pytest.raises(MemoryConflictError, match="'human' was changed"):
        overlay.edited["b1"].value_on(fresh)


def test_a_memo_answers_the_very_request_only() -> None:
    request = LlmRequest("m", [LlmMessage("user", "x")], token=1, run_id="r", seq=0)
    same = LlmRequest("m", [LlmMessage("user", "x")], token=2, run_id="s", stream=True, variant="v")
    other = LlmRequest("m", [LlmMessage("user", "y")])
    assert digest_llm(request) == digest_llm(same) != digest_llm(other)
    memo = Memo()
    assert not memo
    row = memo.keep("llm", 0, digest_llm(request), "answer")
    assert memo.result("llm", 0, digest_llm(same), str) == "answer"
    assert memo.result("llm", 0, digest_llm(other), str) is None
    assert memo.result("llm", 1, digest_llm(same), str) is None
    restored = Memo([JournalRow(row.kind, row.seq, row.digest, row.result)])
    assert restored.result("llm", 0, digest_llm(same), str) == "answer"


async def test_who_waits_longer_for_a_snapshot_gets_it() -> None:
    snapshots, memo = Snapshots(), Memo([])
    snapshots.enabled = True
    patient = asyncio.create_task(snapshots.wait("r1", wait_s=30))
    assert await snapshots.wait("r1", wait_s=0.01) is None
    snapshots.put("r1", view(), memo)
    found = await asyncio.wait_for(patient, 5)
    assert found is not None
    assert found.memo is memo


def test_a_connection_holds_a_turn_as_long_as_it_waits_for_it() -> None:
    runner, joiner = (cast(Connection, object()) for _ in range(2))
    caller = Caller("i1", "stable", "v", "default")

    def opening(connection: Any, exchange: int) -> Opening:
        return Opening(connection, exchange, TurnOpen("a", "r1", "d"), caller)

    table, first, second = TurnTable(Counters()), opening(joiner, 1), opening(joiner, 2)
    for one in (own := opening(runner, 1), first, second):
        table.admit(one)
    turn = Turn(TurnKey("a", "request:r1"), own, "run-1", Memo([]))
    table.add(turn)
    for one in (first, second, again := opening(runner, 2)):
        table.join(turn, one)
    table.leave(turn, again)
    table.leave(turn, first)
    assert (table.of(runner), table.of(joiner)) == ([turn], [turn])
    table.leave(turn, second)
    assert (table.of(runner), table.of(joiner)) == ([turn], [])
    table.join(turn, waiting := opening(runner, 3))
    table.hand_over(turn, opening(joiner, 3))
    assert (table.of(runner), table.of(joiner)) == ([turn], [turn])
    table.leave(turn, waiting)
    assert (table.of(runner), table.of(joiner)) == ([], [turn])


async def test_the_end_of_an_answer_forgets_no_other_that_is_under_way() -> None:
    memo = Memo([])
    former, later = memo.begin("llm", 0, "one"), memo.begin("llm", 0, "two")
    former.set_result(None)
    await asyncio.sleep(0)
    assert memo.running("llm", 0, "two") is later
    later.set_result(None)
    await asyncio.sleep(0)
    assert memo.running("llm", 0, "two") is None
