"""Sealing anew: after an upgrade, after a rotation, across restarts; and whose key it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy.orm import undefer

from o_contracts.messages import Message as ContractMessage
from o_platform.agents.new_agents import message_row
from o_platform.db import resealing
from o_platform.db.engine import Database
from o_platform.db.keys import KeySource, add_key, key_file, open_vault, settle_keys
from o_platform.db.migrate import alembic_config
from o_platform.db.models import (
    Agent,
    Archive,
    Block,
    File,
    Lineage,
    McpServer,
    Message,
    Passage,
)
from o_platform.db.resealing import Resealing, progress_of
from o_platform.db.sealing import Vault, sealed_with
from o_platform.errors import SetupError
from o_platform.memory.search import PassageQuery, search_archives

pytestmark = pytest.mark.integration

_PLAIN = """
INSERT INTO messages (id, agent_id, type, body)
  SELECT 'message-' || n, 'agent-1', 'user_message',
    jsonb_build_object('id', 'message-' || n, 'type', 'user_message', 'date_us', n,
      'content', 'plain ' || n) FROM generate_series(1, 7) AS n;
INSERT INTO blocks (id, label, value, char_limit, read_only, metadata, tags)
  VALUES ('block-1', 'human', 'plain', 10, false, '{}', '{}');
INSERT INTO passages (id, archive_id, text, words, tags, metadata)
  VALUES ('passage-1', 'archive-1', 'plain dogs', to_tsvector('plain dogs'), '{}', '{}');
INSERT INTO mcp_servers (id, name, kind, config) VALUES ('m', 'm', 'sse', '{"token": "plain"}');
INSERT INTO folders (id, name, chunk_size) VALUES ('source-1', 'docs', 100);
INSERT INTO files
  (id, folder_id, name, original_name, media_type, size_bytes, status, content, data)
  VALUES ('file-1', 'source-1', 'a', 'a', '', 1, 'pending', 'plain text', 'plain upload')
"""


@pytest.fixture
async def installation(database_url: str, tmp_path: Path) -> Any:
    """A database with rows from before there were keys, and the source of its first key."""
    source = KeySource(key_file(tmp_path))
    settle_keys(database_url, source)
    database = Database(database_url, open_vault(source))
    async with database.unit_of_work() as session:
        session.add(Lineage(name="default", key=1))
        await session.flush()
        session.add(
            Agent(
                id="agent-1",
                lineage="default",
                name="a",
                agent_type="t",
                system="",
                model="m",
                model_settings={},
                embedding="o/hash",
                tools=[],
                tool_rules=[],
                tags=[],
            )  # fmt: skip
        )
        session.add(Archive(id="archive-1", name="a", embedding="o/hash", dimensions=256))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_PLAIN)
    yield database, source
    await database.close()


def stored(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [
            row[0]
            for row in connection.execute(
                "SELECT body #>> '{}' FROM messages UNION ALL SELECT value FROM blocks"
                " UNION ALL SELECT text FROM passages UNION ALL SELECT content FROM files"
                " WHERE content IS NOT NULL"
                " UNION ALL SELECT encode(data, 'escape') FROM files WHERE data IS NOT NULL"
                " UNION ALL SELECT config #>> '{}' FROM mcp_servers"
            )
        ]


async def words_find(database: Database, query: str) -> list[str]:
    async with database.exchange() as exchange:
        asked = PassageQuery(query)
        hits = await search_archives(exchange, database.vault, ["archive-1"], [], asked)
        return [hit.passage.text for hit in hits]


async def run(database: Database) -> int:
    job, steps = Resealing(database), 0
    while await job.step():
        steps += 1
    return steps


async def test_plain_rows_are_sealed_and_then_a_rotation_goes_on_where_it_was(
    installation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, source = installation
    monkeypatch.setattr(resealing, "BATCH", 3)
    assert any("plain" in text for text in stored(database.url))
    assert await run(database) > 6
    first = database.vault.current
    assert all(text.startswith(sealed_with(first)) for text in stored(database.url))
    assert await words_find(database, "dog") == ["plain dogs"]
    (key,) = await Resealing(database).keys()
    assert key.sealed_at is not None
    assert [p for p in progress_of(key) if p.table == "messages"][0].done == 7
    assert not await Resealing(database).step()

    added = add_key(source)
    database.vault.reload()
    await Resealing(database).register()
    for _ in range(4):
        await Resealing(database).step()
    kinds = {text[:12] for text in stored(database.url)}
    assert kinds == {sealed_with(first), sealed_with(added)}, "half way"
    # Both are read meanwhile, searched too, and what is written now needs no second look.
    other = Database(database.url, open_vault(source))
    async with other.unit_of_work() as session:
        said = ContractMessage("message-new", "user_message", 1, "new")
        session.add(message_row("agent-1", said))
        (await session.get_one(Block, "block-1")).value = "edited"
    assert await words_find(other, "dogs") == ["plain dogs"]
    await run(other)
    assert all(text.startswith(sealed_with(added)) for text in stored(database.url))
    async with other.unit_of_work() as session:
        assert (await session.get_one(Block, "block-1")).value == "edited"
        assert (await session.get_one(Passage, "passage-1")).text == "plain dogs"
        assert (await session.get_one(Message, 7)).body["content"] == "plain 7"
    alone = Database(database.url, Vault([added]))
    assert await words_find(alone, "dog") == ["plain dogs"]
    async with alone.unit_of_work() as session:
        assert (await session.get_one(McpServer, "m")).config == {"token": "plain"}
        both = [undefer(File.content), undefer(File.data)]
        file = await session.get_one(File, "file-1", options=both)
        assert (file.content, file.data) == ("plain text", b"plain upload")
    await alone.close()
    await other.close()


async def test_what_was_on_its_way_during_a_rotation_is_found_in_the_end(
    installation: Any,
) -> None:
    database, source = installation
    await run(database)
    late = Database(database.url, Vault([database.vault.current]))
    added = add_key(source)
    database.vault.reload()
    await Resealing(database).register()
    patient = Resealing(database, in_flight_s=3600)
    while await patient.step():
        pass
    (newest, _) = await patient.keys()
    assert newest.sealed_at is None, "something may be under way yet"
    async with late.unit_of_work() as session:
        said = ContractMessage("message-late", "user_message", 1, "late")
        session.add(message_row("agent-1", said))
        session.add(
            Block(
                id="block-late", label="b", value="late", char_limit=10, description=None,
                read_only=False, meta={}, tags=[],
            )
        )  # fmt: skip
        session.add(
            File(
                id="file-late", folder_id="source-1", name="late", original_name="late",
                media_type="", size_bytes=1, status="pending", data=b"late upload",
            )
        )  # fmt: skip
    await late.close()
    assert {text[:12] for text in stored(database.url)} == {
        sealed_with(added), sealed_with(late.vault.current)
    }  # fmt: skip
    await run(database)
    assert all(text.startswith(sealed_with(added)) for text in stored(database.url))
    (newest, _) = await Resealing(database).keys()
    assert newest.sealed_at is not None
    alone = Database(database.url, Vault([added]))
    async with alone.unit_of_work() as session:
        assert (await session.get_one(Block, "block-late")).value == "late"
        file = await session.get_one(File, "file-late", options=[undefer(File.data)])
        assert file.data == b"late upload"
    await alone.close()


async def test_columns_sealed_since_an_upgrade_are_come_to(installation: Any) -> None:
    database, _ = installation
    await run(database)
    with psycopg.connect(database.url, autocommit=True) as connection:
        config = alembic_config(database.url)
        command.downgrade(config, "0015")
        plain = "UPDATE files SET content = 'plain text' RETURNING id"
        assert connection.execute(plain).rowcount == 1
        connection.execute("UPDATE encryption_keys SET progress = progress - 'files'")
        command.upgrade(config, "head")
    assert any("plain" in text for text in stored(database.url))
    await run(database)
    assert not any("plain" in text for text in stored(database.url))


async def test_a_missing_or_wrong_key_stops_the_start(installation: Any, tmp_path: Path) -> None:
    database, source = installation
    settle_keys(database.url, source)
    aside = source.file.rename(tmp_path / "aside")
    with pytest.raises(SetupError, match=r"encrypted with the key \w{8}, and .* is not there"):
        settle_keys(database.url, source)
    assert not source.file.exists()
    add_key(source)
    with pytest.raises(SetupError, match="the key at hand is another one"):
        settle_keys(database.url, source)
    aside.rename(source.file)
    settle_keys(database.url, source)
    # Of several, another one in force is a rotation: everything is sealed anew.
    added = add_key(source)
    settle_keys(database.url, source)
    keys = await Resealing(database).keys()
    assert [key.id for key in keys] == [added.id, database.vault.current.id]
    assert keys[0].sealed_at is None
