"""Encryption at rest, in what the database really holds: its files and its rows."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.orm import undefer

from o_contracts.bridge import LLM_COMPLETE
from o_contracts.llm import LlmMessage, LlmRequest
from o_contracts.messages import Message
from o_platform.agents.new_agents import message_row
from o_platform.db.embedded import EmbeddedServer
from o_platform.db.engine import Database
from o_platform.db.models import (
    AgentSecret,
    Block,
    File,
    Folder,
    McpServer,
    Passage,
    Schedule,
)
from o_platform.testing.peer import RefusedError
from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration


def files_with(folder: Path, marker: str) -> Iterator[str]:
    """Files of the database that hold a text, in the table files as in the log of changes."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):
            if marker.encode() in path.read_bytes():
                yield str(path.relative_to(folder))


async def test_nothing_that_was_said_or_kept_is_in_the_files_of_the_database(
    bridge: Any, new_worker: Any, rows: Any, database: Database, postgres: EmbeddedServer,
    model_server: Any,
) -> None:  # fmt: skip
    secret, shown = f"zq{secrets.token_hex(8)}", f"zv{secrets.token_hex(8)}"
    agent = rows.agent(name=shown)
    async with database.unit_of_work() as session:
        block = Block(
            id="block-1", label="human", value=f"one {secret}", char_limit=500,
            description=None, read_only=False, meta={}, tags=[],
        )  # fmt: skip
        session.add_all([block, AgentSecret(agent_id=agent, name="KEY", value=secret)])
        said = Message("message-9", "user_message", 1, f"before {secret}")
        turn = {"messages": [{"role": "user", "content": secret}]}
        session.add(Schedule(id="s-1", agent_id=agent, rule={}, turn=turn))
        session.add(message_row(agent, said))
        session.add(McpServer(id="m", name="m", kind="sse", config={"auth_token": secret}))
        session.add(Folder(id="source-1", name="docs", chunk_size=100))
        await session.flush()
        for name, kept in {"a.md": {"content": secret}, "b.pdf": {"data": secret.encode()}}.items():
            session.add(
                File(id=name, folder_id="source-1", name=name, original_name=name, size_bytes=1,
                     media_type="", status="pending", **kept)
            )  # fmt: skip
    rows.attach(agent, "block-1", "human")
    worker = await new_worker()
    turn = await worker.open(agent)
    edit = json.dumps({"label": "human", "new_string": f"two {secret}"})
    await worker.tool(turn, "memory_insert", edit)
    kept = json.dumps({"content": f"a passage about {secret}"})
    await worker.tool(turn, "archival_memory_insert", kept, seq=1)
    await worker.commit(agent, turn, f"said {secret}")
    paid = await worker.open(agent)
    asked = LlmRequest("x/y", [LlmMessage("user", secret)], token=paid.token, run_id=paid.run_id)
    worker.peer.start(LLM_COMPLETE, asked)
    await until(lambda: rows.one("SELECT count(*) FROM journal"))

    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    assert list(files_with(postgres.data, shown)), "the check sees what is not sealed"
    assert list(files_with(postgres.data, secret)) == []
    for table in ("messages", "blocks", "block_versions", "passages", "agent_secrets", "journal",
                  "files", "mcp_servers"):  # fmt: skip
        held = rows.all(f"SELECT {table}::text FROM {table}")  # noqa: S608
        assert held
        assert secret not in str(held)

    reopened = await worker.open(agent, "again")
    assert reopened.context is not None
    assert reopened.context.blocks[0].value == f"one {secret}\ntwo {secret}"
    assert reopened.context.messages[0].content == f"before {secret}"
    assert f"said {secret}" in str(reopened.context.messages)
    async with database.unit_of_work() as session:
        assert (await session.get_one(AgentSecret, (agent, "KEY"))).value == secret
        assert secret in str((await session.get_one(Schedule, "s-1")).turn)
        assert (await session.get_one(McpServer, "m")).config == {"auth_token": secret}
        both = (undefer(File.content), undefer(File.data))
        text = await session.get_one(File, "a.md", options=both)
        upload = await session.get_one(File, "b.pdf", options=both)
        assert (text.content, text.data) == (secret, None)
        assert (upload.content, upload.data) == (None, secret.encode())
        # Two sealed columns of one row, changed at once.
        upload.content, upload.data = f"text of {secret}", None
        await session.flush()
        assert (upload.content, upload.data) == (f"text of {secret}", None)


async def test_a_ciphertext_moved_to_another_row_is_refused(
    bridge: Any, new_worker: Any, rows: Any, database: Database
) -> None:
    agent = rows.agent()
    async with database.unit_of_work() as session:
        for number in (1, 2):
            session.add(
                Block(
                    id=f"block-{number}",
                    label=f"b{number}",
                    value=f"v{number}",
                    char_limit=10,
                    description=None,
                    read_only=False,
                    meta={},
                    tags=[],
                )  # fmt: skip
            )
            session.add(message_row(agent, Message(f"message-{number}", "user_message", 1, "x")))
    rows.attach(agent, "block-1", "b1")
    move = "UPDATE {0} SET {1} = (SELECT {1} FROM {0} WHERE id = '{2}-2') WHERE id = '{2}-1'"
    for table, column, kind in (("blocks", "value", "block"), ("messages", "body", "message")):
        original = rows.one(f"SELECT {column}::text FROM {table} WHERE id = '{kind}-1'")  # noqa: S608
        rows.all(move.format(table, column, kind))
        worker = await new_worker()
        with pytest.raises(RefusedError, match="sealed_value_refused"):
            await worker.open(agent)
        rows.all(f"UPDATE {table} SET {column} = '{original}' WHERE id = '{kind}-1'")  # noqa: S608
    assert (await (await new_worker()).open(agent)).context.blocks[0].value == "v1"


async def test_an_edit_through_a_session_is_plain_for_its_reader(database: Database) -> None:
    async with database.unit_of_work() as session:
        block = Block(
            id="block-1", label="b", value="o1:deadbeef:looks sealed", char_limit=10,
            description=None, read_only=False, meta={}, tags=[],
        )  # fmt: skip
        session.add(block)
        await session.flush()
        await session.refresh(block, ["version"])
        assert block.value == "o1:deadbeef:looks sealed"
        block.value += "!"
        await session.flush()
        await session.refresh(block)
        assert block.value == "o1:deadbeef:looks sealed!"
        block.label = "c"
    async with database.unit_of_work() as session:
        assert (await session.get_one(Block, "block-1")).value == "o1:deadbeef:looks sealed!"
        assert await session.get(Passage, "passage-1") is None
