"""Memory edits and archival memory through turns: seen at once, durable with the commit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from o_contracts.bridge import TURN_ABANDON, TurnAbandon, TurnCommitted
from o_contracts.frames import Empty
from o_platform.testing.peer import RefusedError

pytestmark = pytest.mark.integration


def replace(old: str, new: str, label: str = "human") -> str:
    return json.dumps({"label": label, "old_string": old, "new_string": new})


def insert(text: str, label: str = "human") -> str:
    return json.dumps({"label": label, "new_string": text})


async def test_an_edit_is_seen_by_the_turn_and_written_with_its_commit(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    block = rows.block(agent, "human", "name: ?")
    worker = await new_worker()
    turn = await worker.open(agent)
    edited = await worker.tool(turn, "memory_replace", replace("?", "Ada"))
    assert edited.result.status == "success"
    assert [(b.id, b.value, b.version) for b in edited.blocks] == [(block, "name: Ada", 2)]
    again = await worker.tool(turn, "memory_insert", insert("likes tea"), seq=1)
    assert [(b.value, b.version) for b in again.blocks] == [("name: Ada\nlikes tea", 2)]
    assert rows.all("SELECT value FROM blocks") == [("name: ?",)]

    assert await worker.commit(agent, turn) == TurnCommitted(2)
    assert rows.all("SELECT value, version FROM blocks") == [("name: Ada\nlikes tea", 2)]
    following = await worker.open(agent)
    assert following.context.blocks[0].value == "name: Ada\nlikes tea"


async def test_what_the_model_does_wrong_is_told_to_the_model(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    rows.block(agent, "human", "x" * 95)
    rows.block(agent, "persona", "kind", read_only=True)
    worker = await new_worker()
    turn = await worker.open(agent)
    wrong = {
        "limit is 100": ("memory_insert", insert("too long")),
        "read-only": ("memory_replace", replace("kind", "rude", "persona")),
        "must occur once": ("memory_replace", replace("y", "z")),
        "there is no memory block 'house'": ("memory_insert", insert("x", "house")),
        "there is no tool 'rm'": ("rm", "{}"),
        "not valid": ("memory_insert", '{"label": 3}'),
        "not a date": ("conversation_search", '{"start_date": "yesterday"}'),
    }
    for number, (reason, (name, arguments)) in enumerate(wrong.items()):
        result = (await worker.tool(turn, name, arguments, seq=number)).result
        assert result.status == "error"
        assert reason in result.tool_return
    assert (await worker.commit(agent, turn)).version == 2
    assert rows.one("SELECT max(version) FROM blocks") == 1


async def test_an_edit_is_repeated_on_a_block_that_changed_meanwhile(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent, friend = rows.agent(), rows.agent()
    block = rows.block(agent, "human", "one")
    rows.attach(friend, block, "human")
    first, second = await new_worker(), await new_worker()
    slow, fast = await first.open(agent), await second.open(friend)
    await first.tool(slow, "memory_insert", insert("slow"))
    await second.tool(fast, "memory_insert", insert("fast"))
    await second.commit(friend, fast)
    assert (await first.commit(agent, slow)).version == 0
    assert rows.all("SELECT value, version FROM blocks") == [("one\nfast\nslow", 3)]
    for worker, agent_id in ((first, agent), (second, friend)):
        turn = await worker.open(agent_id, have_version=2)
        assert turn.context.blocks[0].value == "one\nfast\nslow"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("memory_replace", replace("one", "slow")),
        ("memory_rethink", '{"label": "human", "new_memory": "slow"}'),
    ],
)
async def test_an_edit_that_no_longer_fits_fails_its_turn_which_can_run_again(
    bridge: Any, new_worker: Any, rows: Any, name: str, arguments: str
) -> None:
    agent = rows.agent()
    rows.block(agent, "human", "one")
    worker = await new_worker()
    turn = await worker.open(agent, "r1")
    await worker.tool(turn, name, arguments)
    rows.all("UPDATE blocks SET value = 'two', version = version + 1")
    rows.all("UPDATE agents SET version = version + 1")
    with pytest.raises(RefusedError, match="409 memory_conflict"):
        await worker.commit(agent, turn)
    assert rows.one("SELECT count(*) FROM runs") == 0

    again = await worker.open(agent, "r1")
    assert again.context.blocks[0].value == "two"
    assert (await worker.commit(agent, again)).version == 3


async def test_a_conflict_does_not_fail_the_neighbours(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agents = [rows.agent() for _ in range(4)]
    blocks = [rows.block(agent, "human", "one") for agent in agents]
    worker = await new_worker()
    turns = [await worker.open(agent) for agent in agents]
    for turn in turns:
        await worker.tool(turn, "memory_replace", replace("one", "done"))
    rows.all("UPDATE blocks SET value = 'two', version = 2 WHERE id = %s", blocks[2])
    commits = [worker.ask_commit(agent, turn) for agent, turn in zip(agents, turns, strict=True)]
    for number, exchange in enumerate(commits):
        if number == 2:
            with pytest.raises(RefusedError, match="memory_conflict"):
                await worker.peer.answer(exchange, TurnCommitted)
        else:
            await worker.peer.answer(exchange, TurnCommitted)
    assert sorted(rows.all("SELECT value FROM blocks")) == [("done",)] * 3 + [("two",)]
    assert rows.one("SELECT count(*) FROM runs") == 3


async def test_edits_of_an_abandoned_turn_are_gone(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    rows.block(agent, "human", "one")
    worker = await new_worker()
    turn = await worker.open(agent, "r1")
    await worker.tool(turn, "memory_insert", insert("two"))
    await worker.tool(turn, "archival_memory_insert", '{"content": "three"}', seq=1)
    await worker.peer.ask(TURN_ABANDON, TurnAbandon(turn.token, turn.run_id, "x", "gone"), Empty)
    await worker.commit(agent, await worker.open(agent, "r1"))
    assert rows.all("SELECT value FROM blocks") == [("one",)]
    assert rows.one("SELECT count(*) FROM passages") == 0


async def test_every_edit_is_kept_with_who_and_why(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    block = rows.block(agent, "human", "one")
    worker = await new_worker()
    first = await worker.open(agent)
    await worker.tool(first, "memory_insert", insert("two"))
    await worker.tool(first, "memory_replace", replace("one", "1"), seq=1)
    await worker.commit(agent, first)
    second = await worker.open(agent)
    await worker.tool(second, "memory_insert", insert("three"))
    await worker.commit(agent, second)
    history = "SELECT version, value, who, why, run_id FROM block_versions ORDER BY version"
    assert rows.all(history) == [
        (1, "one", "", "", None),
        (2, "1\ntwo", agent, "memory_insert, memory_replace", first.run_id),
        (3, "1\ntwo\nthree", agent, "memory_insert", second.run_id),
    ]
    rows.all("DELETE FROM blocks WHERE id = %s", block)
    assert rows.all(history) == []


def file_call(command: str, **arguments: Any) -> str:
    return json.dumps({"command": command, **arguments})


async def test_blocks_are_made_edited_renamed_and_removed_like_files(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent, friend = rows.agent(tools=["memory"]), rows.agent()
    shared = rows.block(agent, "human", "Ada")
    rows.attach(friend, shared, "human")
    rows.block(agent, "old", "gone soon")
    rows.block(agent, "law", "fixed", read_only=True)
    worker = await new_worker()
    turn = await worker.open(agent)
    calls = [
        file_call("create", path="/memories/plan", file_text="a\nb", description="what next"),
        file_call("insert", path="/memories/plan", insert_line=1, insert_text="a2"),
        file_call("str_replace", path="plan", old_string="b", new_string="c"),
        file_call("rename", old_path="/memories/human", new_path="/memories/person"),
        file_call("str_replace", path="person", old_string="Ada", new_string="Ada L."),
        file_call("delete", path="old"),
        file_call("view", path="plan"),
        file_call("view"),
        file_call("view", path="/memories"),
    ]
    results = [await worker.tool(turn, "memory", call, seq=seq) for seq, call in enumerate(calls)]
    assert [result.result.status for result in results] == ["success"] * 9
    assert results[5].removed
    assert results[6].result.tool_return == "/memories/plan\n1: a\n2: a2\n3: c"
    everything = results[7].result.tool_return
    assert "/memories/person" in everything
    assert results[8].result.tool_return == everything
    wrong = {
        "read-only": file_call("delete", path="law"),
        "there is a memory block 'law' already": file_call("create", path="law"),
        "no memory block 'old'": file_call("view", path="old"),
        "needs insert_text": file_call("insert", path="plan"),
        "must name a memory block": file_call("delete", path="/memories/"),
    }
    for seq, (reason, call) in enumerate(wrong.items(), 9):
        assert reason in (await worker.tool(turn, "memory", call, seq=seq)).result.tool_return
    await worker.commit(agent, turn)

    held = (
        "SELECT ab.label, b.label, b.value FROM agent_blocks ab JOIN blocks b ON b.id = block_id"
        " WHERE agent_id = %s ORDER BY position, ab.label"
    )
    assert rows.all(held, agent) == [
        ("law", "law", "fixed"),
        ("person", "person", "Ada L."),
        ("plan", "plan", "a\na2\nc"),
    ]
    assert rows.all(held, friend) == [("person", "person", "Ada L.")]
    assert rows.one("SELECT count(*) FROM blocks WHERE label = 'old'") == 1
    seen = (await worker.open(agent)).context.blocks
    assert {block.label: block.value for block in seen}["plan"] == "a\na2\nc"
    assert (await worker.open(friend, have_version=1)).context.blocks[0].label == "person"


async def test_a_label_that_is_taken_meanwhile_fails_the_turn_alone(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent(tools=["memory"])
    worker = await new_worker()
    turn = await worker.open(agent)
    await worker.tool(turn, "memory", file_call("create", path="plan"))
    rows.block(agent, "plan", "of a client")
    with pytest.raises(RefusedError, match="409 memory_conflict"):
        await worker.commit(agent, turn)
    assert rows.all("SELECT value FROM blocks") == [("of a client",)]


async def test_archival_memory_is_written_once_with_the_commit(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent, "r1")
    text = json.dumps({"content": "Ada plays the cello", "tags": ["music"]})
    assert (await worker.tool(turn, "archival_memory_insert", text)).result.status == "success"
    found = await worker.tool(turn, "archival_memory_search", '{"query": "cello"}', seq=1)
    assert "Ada plays the cello" in found.result.tool_return
    assert rows.one("SELECT count(*) FROM passages") == 0
    await worker.commit(agent, turn)
    assert (await worker.open(agent, "r1", attempt=2)).finished is not None
    assert rows.all("SELECT text, tags FROM passages") == [("Ada plays the cello", ["music"])]

    turn = await worker.open(agent)
    found = await worker.tool(turn, "archival_memory_search", '{"query": "who plays cello"}')
    assert "Ada plays the cello" in found.result.tool_return


async def test_the_conversation_is_searched_by_text_and_role(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    for text in ('about 100% of "tea"', "about coffee"):
        await worker.run(agent, text=text)
    turn = await worker.open(agent)

    async def found(**arguments: Any) -> list[str]:
        result = await worker.tool(
            turn, "conversation_search", json.dumps(arguments), seq=id(arguments)
        )
        text = result.result.tool_return
        return [] if text == "Nothing was found." else [hit["text"] for hit in json.loads(text)]

    assert await found(query='100% of "TEA"', roles=["user"]) == ['about 100% of "tea"']
    assert await found(query="coffee") == ["echo: about coffee", "about coffee"]
    assert await found(query="teas") == ['echo: about 100% of "tea"', 'about 100% of "tea"']
    assert await found(query="juice") == []
    assert await found(query="about", limit=1) == ["echo: about coffee"]
    assert await found(limit=1) == ["echo: about coffee"]
    assert await found(query="coffee", end_date="2020-01-01") == []
    rows.all("UPDATE messages SET created_at = '2026-03-04T23:59:59.999999Z'")
    day = {"start_date": "2026-03-04", "end_date": "2026-03-04"}
    assert await found(limit=1, **day) == ["echo: about coffee"]
    assert await found(limit=1, end_date="2026-03-03") == []
    assert await found(limit=1, end_date="9999-12-31") == ["echo: about coffee"]


async def test_a_search_that_fails_is_answered(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    worker = await new_worker()
    turn = await worker.open(agent)
    rows.all("ALTER TABLE messages RENAME TO elsewhere")
    with pytest.raises(RefusedError, match="500 internal"):
        await worker.tool(turn, "conversation_search", '{"query": "tea"}')
    rows.all("ALTER TABLE elsewhere RENAME TO messages")
    await worker.commit(agent, turn)
