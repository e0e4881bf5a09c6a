"""`/v1/agents/{id}/archival-memory` and `/v1/passages/search`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from o_platform.api.deps import ArchivesDep
from o_platform.api.fields import AgentPath, PassagePath
from o_platform.api.passages.schemas import (
    ArchivalSearchQuery,
    FoundPassage,
    FoundTexts,
    PassageCreate,
    PassageListQuery,
    PassageSearch,
    PassageState,
    found_passages,
    found_texts,
    passage_state,
)

router = APIRouter(prefix="/v1", tags=["passages"])
_MEMORY = "/agents/{agent_id}/archival-memory"


@router.post(_MEMORY)
async def create_agent_passage(
    agent_id: AgentPath, body: PassageCreate, archives: ArchivesDep
) -> list[PassageState]:
    """Keep a text in an agent's archival memory."""
    kept = await archives.keep_for(agent_id, body.new_passage())
    return [passage_state(one) for one in kept]


@router.get(_MEMORY)
async def list_agent_passages(
    agent_id: AgentPath, archives: ArchivesDep, query: Annotated[PassageListQuery, Query()]
) -> list[PassageState]:
    """List the passages of an agent's archives, oldest first unless asked otherwise."""
    return [passage_state(one) for one in await archives.list_passages(agent_id, query.page())]


@router.get(_MEMORY + "/search")
async def search_agent_passages(
    agent_id: AgentPath, archives: ArchivesDep, query: Annotated[ArchivalSearchQuery, Query()]
) -> FoundTexts:
    """Search an agent's archival memory by meaning and by word."""
    agent, hits = await archives.search_of(agent_id, query.wanted())
    return found_texts(hits, agent.timezone)


@router.delete(_MEMORY + "/{memory_id}")
async def delete_agent_passage(
    agent_id: AgentPath, memory_id: PassagePath, archives: ArchivesDep
) -> Response:
    """Delete a passage of one of an agent's archives."""
    await archives.forget_of(agent_id, memory_id)
    return Response("null", media_type="application/json")


@router.post("/passages/search")
async def search_passages(body: PassageSearch, archives: ArchivesDep) -> list[FoundPassage]:
    """Search all archives, one, or an agent's, by meaning and by word."""
    if body.agent_id is not None:
        _, hits = await archives.search_of(body.agent_id, body.wanted())
    else:
        hits = await archives.search(body.archive_id, body.wanted())
    return found_passages(hits, await archives.archives_by_id(hits))
