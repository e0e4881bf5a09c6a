"""`/v1/agents/{id}/export`, `/v1/agents/import`: agents as files."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query

from o_contracts.ids import is_conversation
from o_contracts.messages import Message
from o_platform.agents import history_repository
from o_platform.agents.agent_files.format import read_file
from o_platform.agents.conversation_service import existing_conversation
from o_platform.agents.history_repository import MessageFilter
from o_platform.agents.paging import Page
from o_platform.api.agent_files.schemas import ExportQuery, ImportAnswer, ImportBody
from o_platform.api.agent_files.views import agent_file
from o_platform.api.agents.schemas import Handle
from o_platform.api.deps import AgentFilesDep, AgentsDep, DatabaseDep, PlatformDep
from o_platform.api.fields import AgentPath
from o_platform.db.engine import Database
from o_platform.errors import NotFoundError, NotOfferedError
from o_platform.images.repository import DEFAULT_LINEAGE

router = APIRouter(prefix="/v1/agents", tags=["agents"])
_WHOLE = Page(limit=1_000_000, descending=False)


@router.get("/{agent_id}/export")
async def export_agent(
    agent_id: AgentPath,
    agents: AgentsDep,
    database: DatabaseDep,
    query: Annotated[ExportQuery, Query()],
) -> dict[str, Any]:
    """One agent as an agent file, with the messages of one conversation."""
    if query.use_legacy_format:
        raise NotOfferedError("the older form of agent files is read, but not written")
    view = await agents.fetch(agent_id)
    said = [] if query.scrub_messages else await _history(database, agent_id, query.conversation_id)
    return agent_file(view, said, agents.catalogue)


@router.post("/import")
async def import_agents(
    form: ImportBody,
    platform: PlatformDep,
    files: AgentFilesDep,
    x_o_lineage: Annotated[str, Header(description="lineage of the new agents")] = DEFAULT_LINEAGE,
    x_override_embedding_model: Annotated[Handle | None, Header()] = None,
) -> ImportAnswer:
    """Create the agents of a file; says what of it was left out."""
    overrides = form.overrides(x_override_embedding_model)
    file = await asyncio.to_thread(read_file, await form.file.read())
    imported = await files.take_in(
        file, overrides, lineage=x_o_lineage, default_model=platform.settings.default_model
    )
    return ImportAnswer(agent_ids=imported.agent_ids, notes=imported.notes)


async def _history(database: Database, agent_id: str, thread_id: str | None) -> list[Message]:
    conversation_id = thread_id if thread_id and is_conversation(thread_id) else None
    if conversation_id is not None:
        async with database.unit_of_work() as session:
            found = await existing_conversation(session, conversation_id)
        if found.agent_id != agent_id:
            raise NotFoundError(f"{conversation_id} is no conversation of {agent_id}")
    wanted = MessageFilter(conversation_id=conversation_id)
    rows = await history_repository.list_messages(
        database.ask, database.vault, agent_id, wanted, _WHOLE
    )
    return [msgspec.convert(row.body, Message) for row in rows]
