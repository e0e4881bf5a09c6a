"""Rows of a new agent: itself, its blocks, its first messages, all by one statement.

Nobody is told of it: no cache has what was not there. Most agents are that and nothing more
(`is_plain`); what others share with what is there already is added after it, in the caller's
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts import messages as contract
from o_contracts.ids import new_agent_id, new_id
from o_platform.agents import attachments
from o_platform.agents.defaults import generated_name
from o_platform.agents.folder_repository import give_folder
from o_platform.agents.identity_service import require_identities
from o_platform.agents.inputs import NewAgent, NewBlock
from o_platform.agents.secret_repository import replace_secrets
from o_platform.agents.stored_messages import stored_message
from o_platform.agents.tool_service import resolve_tools
from o_platform.agents.tools import ToolCatalogue
from o_platform.db.engine import Ask, within
from o_platform.db.line import Statement
from o_platform.db.models import Agent, Message
from o_platform.db.sealed_columns import BLOCK_VALUE, vault_of
from o_platform.db.sealing import Vault
from o_platform.errors import NotFoundError

INSERT: Final = Statement(
    """
    WITH agent AS (
      INSERT INTO agents (
        id, lineage, name, agent_type, system, model, model_settings, embedding, description,
        timezone, tools, tool_rules, tags, metadata, config, identity_ids, message_count)
      SELECT
        id, lineage, name, agent_type, system, model, model_settings, embedding, description,
        timezone, tools, tool_rules, tags, metadata, config, identity_ids,
        jsonb_array_length($3::jsonb)
      FROM jsonb_to_record($1::jsonb) AS a(
        id text, lineage text, name text, agent_type text, system text, model text,
        model_settings jsonb, embedding text, description text, timezone text, tools text[],
        tool_rules jsonb, tags text[], metadata jsonb, config jsonb, identity_ids text[])
      RETURNING *
    ), block AS (
      INSERT INTO blocks (id, label, value, char_limit, description, read_only, metadata, tags)
      SELECT id, label, value, char_limit, description, read_only, metadata, tags
      FROM jsonb_to_recordset($2::jsonb) AS b(
        id text, label text, value text, char_limit int, description text, read_only boolean,
        metadata jsonb, tags text[])
    ), held AS (
      INSERT INTO agent_blocks (agent_id, label, block_id, position)
      SELECT agent.id, b.entry ->> 'label', b.entry ->> 'id', b.place - 1
      FROM agent, jsonb_array_elements($2::jsonb) WITH ORDINALITY AS b(entry, place)
    ), message AS (
      INSERT INTO messages (id, agent_id, run_id, type, tool, body, created_at)
      SELECT m.entry ->> 'id', agent.id, m.entry ->> 'run_id', m.entry ->> 'type',
        m.entry ->> 'tool', m.entry -> 'body',
        to_timestamp((m.entry ->> 'date_us')::bigint / 1e6)
      FROM agent, jsonb_array_elements($3::jsonb) WITH ORDINALITY AS m(entry, place)
      ORDER BY m.place
    )
    SELECT row_to_json(agent)::text FROM agent
    """
)
_LINEAGE_KEY: Final = Statement("SELECT key::text FROM lineages WHERE name = $1")


class NewRows(NamedTuple):
    """What is inserted: the agent's columns, and those of its blocks, which are not sealed yet."""

    agent: dict[str, Any]
    blocks: list[dict[str, Any]]
    messages: Sequence[contract.Message]

    def values(self, vault: Vault) -> tuple[str, str, str]:
        """The values of `INSERT`."""
        sealed = [
            block | {"value": BLOCK_VALUE.sealed(vault, block["value"], block["id"])}
            for block in self.blocks
        ]
        return _json(self.agent), _json(sealed), _json([_stored(vault, m) for m in self.messages])


def is_plain(catalogue: ToolCatalogue, wanted: NewAgent) -> bool:
    """Whether the agent has nothing that it shares with others."""
    shared = (
        wanted.block_ids, wanted.folder_ids, wanted.secrets, wanted.identity_ids,
        wanted.config.get("enable_sleeptime"),
    )  # fmt: skip
    return not any(shared) and catalogue.has_all(wanted.tools, wanted.tool_ids)


def plain_tools(catalogue: ToolCatalogue, wanted: NewAgent) -> list[str]:
    """Names of the tools of an agent that has built-in ones alone."""
    named = [catalogue.named(one) for one in wanted.tool_ids]
    return list(dict.fromkeys([*_base(catalogue, wanted), *wanted.tools, *named]))


def new_rows(agent_id: str, wanted: NewAgent, tools: Sequence[str]) -> NewRows:
    """The rows of an agent with these tools.

    Raises:
        ConflictError: two blocks with one label.
    """
    labels: set[str] = set()
    for block in wanted.blocks:
        if block.label in labels:
            raise attachments.label_conflict(agent_id, block.label)
        labels.add(block.label)
    agent = {
        "id": agent_id, "lineage": wanted.lineage, "name": wanted.name or generated_name(),
        "agent_type": wanted.agent_type, "system": wanted.system, "model": wanted.model,
        "model_settings": wanted.model_settings, "embedding": wanted.embedding,
        "description": wanted.description, "timezone": wanted.timezone, "tools": tools,
        "tool_rules": wanted.tool_rules, "tags": wanted.tags, "metadata": wanted.metadata,
        "config": wanted.config, "identity_ids": wanted.identity_ids,
    }  # fmt: skip
    return NewRows(agent, [block_row(block) for block in wanted.blocks], wanted.messages)


def block_row(wanted: NewBlock) -> dict[str, Any]:
    """The columns of a new block, which is not sealed yet."""
    return {
        "id": new_id("block"), "label": wanted.label, "value": wanted.value,
        "char_limit": wanted.limit, "description": wanted.description,
        "read_only": wanted.read_only, "metadata": wanted.metadata, "tags": wanted.tags,
    }  # fmt: skip


async def fetch_lineage_key(ask: Ask, name: str) -> int:
    """What the ids of a lineage's agents begin with; it never changes.

    Raises:
        NotFoundError: there is no such lineage.
    """
    found = await ask(_LINEAGE_KEY, name)
    if not found:
        raise NotFoundError(f"no lineage is named {name!r}; see `o status`", lineage=name)
    return int(found[0])


async def insert_agent(
    session: AsyncSession, catalogue: ToolCatalogue, wanted: NewAgent, agent_id: str | None = None
) -> Agent:
    """Create an agent in its lineage, under a new id unless one is given.

    Raises:
        NotFoundError: the lineage, a block, a folder or a tool does not exist.
        ConflictError: two blocks with one label.
    """
    named = [*_base(catalogue, wanted), *wanted.tools]
    tools = await resolve_tools(session, catalogue, named, wanted.tool_ids)
    key = await fetch_lineage_key(within(session), wanted.lineage)
    await require_identities(session, wanted.identity_ids)
    rows = new_rows(agent_id or new_agent_id(key), wanted, tools)
    await within(session)(INSERT, *rows.values(vault_of(session)))
    agent = await session.get_one(Agent, rows.agent["id"])
    await attachments.attach_all(session, agent.id, wanted.block_ids)
    for folder_id in dict.fromkeys(wanted.folder_ids):
        await give_folder(session, agent, folder_id)
    if wanted.secrets:
        await replace_secrets(session, agent.id, wanted.secrets)
    return agent


def message_row(
    agent_id: str, message: contract.Message, conversation_id: str | None = None
) -> Message:
    """The row of a message of the agent's default conversation, or of this one."""
    body = msgspec.to_builtins(message)
    return Message(
        id=message.id, agent_id=agent_id, conversation_id=conversation_id,
        run_id=message.run_id, type=message.type, body=body,
        created_at=datetime.fromtimestamp(message.date_us / 1e6, UTC),
    )  # fmt: skip


def _base(catalogue: ToolCatalogue, wanted: NewAgent) -> list[str]:
    return catalogue.base(wanted.agent_type) if wanted.include_base_tools else []


def _stored(vault: Vault, message: contract.Message) -> dict[str, Any]:
    stored = msgspec.to_builtins(stored_message(vault, message))
    return {**stored, "run_id": message.run_id, "date_us": message.date_us}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
