"""`/o/v1/blocks`: the history of memory blocks, and undo."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from o_platform.api.answers import json_answer
from o_platform.api.blocks.schemas import BlockState, block_document
from o_platform.api.deps import AuthorDep, BlocksDep
from o_platform.api.fields import BlockPath
from o_platform.api.operators.schemas import BlockUndo, BlockVersionState, HistoryQuery

router = APIRouter(prefix="/o/v1/blocks", tags=["operators"])


@router.get("/{block_id}/history")
async def history(
    block_id: BlockPath, blocks: BlocksDep, query: Annotated[HistoryQuery, Query()]
) -> list[BlockVersionState]:
    """The versions of a block that an edit made or found, the newest first."""
    rows = await blocks.history(block_id, before=query.before, limit=query.limit)
    return [BlockVersionState.model_validate(row, from_attributes=True) for row in rows]


@router.post("/{block_id}/undo", response_model=BlockState)
async def undo(
    block_id: BlockPath, body: BlockUndo, blocks: BlocksDep, author: AuthorDep
) -> Response:
    """Give a block its text before the last change of it, or that of a version."""
    return json_answer(block_document(await blocks.undo(block_id, author, body.version)))
