"""`/v1/agents`: agents, and the blocks in their core memory."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from o_platform.agents.repository import AgentFilter
from o_platform.api.agents.bodies import agent_changes, builds_on_settings, new_agent
from o_platform.api.agents.schemas import (
    AgentCreate,
    AgentListQuery,
    AgentRetrieveQuery,
    AgentState,
    AgentUpdate,
)
from o_platform.api.agents.views import agent_answer
from o_platform.api.answers import encoded, json_answer
from o_platform.api.blocks.schemas import BlockState, BlockUpdate, HeldBlocksQuery, block_document
from o_platform.api.deps import AgentsDep, AuthorDep, BlocksDep, PlatformDep, ShownAgentsDep
from o_platform.api.fields import AgentPath, BlockPath
from o_platform.images.repository import DEFAULT_LINEAGE

router = APIRouter(prefix="/v1/agents", tags=["agents"])
_MEMORY = "/{agent_id}/core-memory/blocks"


@router.post("", response_model=AgentState)
async def create_agent(
    body: AgentCreate,
    platform: PlatformDep,
    agents: AgentsDep,
    x_o_lineage: Annotated[str, Header(description="lineage of the new agent")] = DEFAULT_LINEAGE,
) -> Response:
    """Create an agent."""
    wanted = new_agent(body, lineage=x_o_lineage, default_model=platform.settings.default_model)
    return agent_answer(await agents.create(wanted), agents.catalogue)


@router.get("", response_model=list[AgentState])
async def list_agents(shown: ShownAgentsDep, query: Annotated[AgentListQuery, Query()]) -> Response:
    """List agents, newest first unless asked otherwise."""
    if query.matches_nothing():
        return json_answer([])
    if query.ascending is not None and "order" not in query.model_fields_set:
        query.order = "asc" if query.ascending else "desc"
    wanted = AgentFilter(
        name=query.name, query_text=query.query_text, tags=query.tags or (),
        match_all_tags=query.match_all_tags, last_stop_reason=query.last_stop_reason,
        identity_id=query.identity_id, identifier_keys=query.identifier_keys or (),
    )  # fmt: skip
    return encoded(await shown.page(wanted, query.page(), query.sort_by or query.order_by))


@router.get("/{agent_id}", response_model=AgentState)
async def retrieve_agent(
    agent_id: AgentPath, shown: ShownAgentsDep, query: Annotated[AgentRetrieveQuery, Query()]
) -> Response:
    """One agent, with its blocks, tags and tools."""
    return encoded(await shown.one(agent_id))


@router.patch("/{agent_id}", response_model=AgentState)
async def update_agent(agent_id: AgentPath, body: AgentUpdate, agents: AgentsDep) -> Response:
    """Change an agent."""
    present = await agents.model_settings(agent_id) if builds_on_settings(body) else {}
    changes = agent_changes(body, present)
    return agent_answer(await agents.update(agent_id, changes), agents.catalogue)


@router.delete("/{agent_id}")
async def delete_agent(agent_id: AgentPath, agents: AgentsDep) -> Response:
    """Delete an agent with its messages, runs and passages; its blocks stay."""
    await agents.delete(agent_id)
    return Response("null", media_type="application/json")


@router.get(_MEMORY, response_model=list[BlockState])
async def list_agent_blocks(
    agent_id: AgentPath, blocks: BlocksDep, query: Annotated[HeldBlocksQuery, Query()]
) -> Response:
    """List an agent's blocks."""
    held = await blocks.list_of(agent_id, query.page())
    return json_answer([block_document(block) for block in held])


@router.patch(_MEMORY + "/attach/{block_id}", response_model=AgentState)
async def attach_block(agent_id: AgentPath, block_id: BlockPath, agents: AgentsDep) -> Response:
    """Give an agent a block."""
    return agent_answer(await agents.attach_block(agent_id, block_id), agents.catalogue)


@router.patch(_MEMORY + "/detach/{block_id}", response_model=AgentState)
async def detach_block(agent_id: AgentPath, block_id: BlockPath, agents: AgentsDep) -> Response:
    """Take a block from an agent; the block stays."""
    return agent_answer(await agents.detach_block(agent_id, block_id), agents.catalogue)


@router.get(_MEMORY + "/{block_label:path}", response_model=BlockState)
async def retrieve_agent_block(
    agent_id: AgentPath, block_label: str, blocks: BlocksDep
) -> Response:
    """The block that an agent holds under a label."""
    return json_answer(block_document(await blocks.fetch_of(agent_id, block_label)))


@router.patch(_MEMORY + "/{block_label:path}", response_model=BlockState)
async def update_agent_block(
    agent_id: AgentPath,
    block_label: str,
    body: BlockUpdate,
    blocks: BlocksDep,
    author: AuthorDep,
) -> Response:
    """Change the block that an agent holds under a label."""
    block = await blocks.update_of(agent_id, block_label, body.changes(), author)
    return json_answer(block_document(block))
