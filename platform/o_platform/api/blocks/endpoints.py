"""`/v1/blocks`: blocks on their own, and who holds them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from o_platform.agents.repository import AgentFilter
from o_platform.api.agents.schemas import AgentState
from o_platform.api.agents.views import agent_state
from o_platform.api.blocks.schemas import (
    BlockCreate,
    BlockListQuery,
    BlockState,
    BlockUpdate,
    HoldersQuery,
    block_state,
)
from o_platform.api.deps import AgentsDep, AuthorDep, BlocksDep
from o_platform.api.fields import BlockPath

router = APIRouter(prefix="/v1/blocks", tags=["blocks"])


@router.post("")
async def create_block(body: BlockCreate, blocks: BlocksDep) -> BlockState:
    """Create a block that no agent holds yet."""
    return block_state(await blocks.create(body.new_block()))


@router.get("")
async def list_blocks(
    blocks: BlocksDep, query: Annotated[BlockListQuery, Query()]
) -> list[BlockState]:
    """List blocks."""
    if query.matches_nothing():
        return []
    return [block_state(block) for block in await blocks.list(query.filter(), query.page())]


@router.get("/{block_id}")
async def retrieve_block(block_id: BlockPath, blocks: BlocksDep) -> BlockState:
    """One block."""
    return block_state(await blocks.fetch(block_id))


@router.patch("/{block_id}")
async def update_block(
    block_id: BlockPath, body: BlockUpdate, blocks: BlocksDep, author: AuthorDep
) -> BlockState:
    """Change a block, for all agents that hold it."""
    return block_state(await blocks.update(block_id, body.changes(), author))


@router.delete("/{block_id}")
async def delete_block(block_id: BlockPath, blocks: BlocksDep) -> Response:
    """Delete a block; agents that hold it lose it."""
    await blocks.delete(block_id)
    return Response("null", media_type="application/json")


@router.get("/{block_id}/agents")
async def list_holders(
    block_id: BlockPath,
    agents: AgentsDep,
    blocks: BlocksDep,
    query: Annotated[HoldersQuery, Query()],
) -> list[AgentState]:
    """List the agents that hold a block."""
    await blocks.fetch(block_id)
    views = await agents.list(AgentFilter(block_id=block_id), query.page())
    return [agent_state(view, agents.catalogue) for view in views]
