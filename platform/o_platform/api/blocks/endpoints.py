"""`/v1/blocks`: blocks on their own, and who holds them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from o_platform.agents.repository import AgentFilter
from o_platform.api.agents.schemas import AgentState
from o_platform.api.answers import encoded, json_answer
from o_platform.api.blocks.schemas import (
    BlockCreate,
    BlockListQuery,
    BlockState,
    BlockUpdate,
    HoldersQuery,
    block_document,
)
from o_platform.api.deps import AuthorDep, BlocksDep, ShownAgentsDep
from o_platform.api.fields import BlockPath

router = APIRouter(prefix="/v1/blocks", tags=["blocks"])


@router.post("", response_model=BlockState)
async def create_block(body: BlockCreate, blocks: BlocksDep) -> Response:
    """Create a block that no agent holds yet."""
    return json_answer(block_document(await blocks.create(body.new_block())))


@router.get("", response_model=list[BlockState])
async def list_blocks(blocks: BlocksDep, query: Annotated[BlockListQuery, Query()]) -> Response:
    """List blocks."""
    if query.matches_nothing():
        return json_answer([])
    listed = await blocks.list(query.filter(), query.page())
    return json_answer([block_document(block) for block in listed])


@router.get("/{block_id}", response_model=BlockState)
async def retrieve_block(block_id: BlockPath, blocks: BlocksDep) -> Response:
    """One block."""
    return json_answer(block_document(await blocks.fetch(block_id)))


@router.patch("/{block_id}", response_model=BlockState)
async def update_block(
    block_id: BlockPath, body: BlockUpdate, blocks: BlocksDep, author: AuthorDep
) -> Response:
    """Change a block, for all agents that hold it."""
    return json_answer(block_document(await blocks.update(block_id, body.changes(), author)))


@router.delete("/{block_id}")
async def delete_block(block_id: BlockPath, blocks: BlocksDep) -> Response:
    """Delete a block; agents that hold it lose it."""
    await blocks.delete(block_id)
    return Response("null", media_type="application/json")


@router.get("/{block_id}/agents", response_model=list[AgentState])
async def list_holders(
    block_id: BlockPath,
    shown: ShownAgentsDep,
    blocks: BlocksDep,
    query: Annotated[HoldersQuery, Query()],
) -> Response:
    """List the agents that hold a block."""
    await blocks.fetch(block_id)
    return encoded(await shown.page(AgentFilter(block_id=block_id), query.page()))
