"""The history of blocks: every version of a block's text, who made it so and why.

Undo makes a new version with an earlier text, so that nothing of the history is lost. Undoing again
goes one version further back: it continues from the version that the last undo restored.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents.inputs import Author
from o_platform.db.models import Block, BlockVersion
from o_platform.errors import ConflictError, NotFoundError

KEPT_VERSIONS: Final = 1000
"""Newest versions that are kept of a block."""
_LOOK_BACK: Final = 100
"""How many versions an undo reads at once to find a different text."""


async def begin(session: AsyncSession, block: Block) -> BlockVersion:
    """Before an edit: the present version, which is kept now unless the history has it."""
    present = await session.get(BlockVersion, (block.id, block.version))
    if present is None:
        present = BlockVersion(
            block_id=block.id, version=block.version, value=block.value,
            created_at=block.updated_at,
        )  # fmt: skip
        session.add(present)
    return present


async def record(
    session: AsyncSession,
    before: BlockVersion,
    block: Block,
    author: Author,
    restores: int | None = None,
) -> None:
    """After an edit: keep what the block has become, and forget what is too old."""
    if restores is None and before.value == block.value:
        restores = before.restores
    session.add(
        BlockVersion(
            block_id=block.id, version=block.version, value=block.value, who=author.who,
            why=author.why, restores=restores,
        )
    )  # fmt: skip
    old = BlockVersion.version <= block.version - KEPT_VERSIONS
    await session.execute(delete(BlockVersion).where(BlockVersion.block_id == block.id, old))


async def list_versions(
    session: AsyncSession, block_id: str, *, before: int | None, limit: int
) -> list[BlockVersion]:
    """Versions of a block, the newest first; only those below `before`."""
    wanted = select(BlockVersion).where(BlockVersion.block_id == block_id)
    if before is not None:
        wanted = wanted.where(BlockVersion.version < before)
    return list(await session.scalars(wanted.order_by(BlockVersion.version.desc()).limit(limit)))


async def named_version(session: AsyncSession, block_id: str, version: int) -> BlockVersion:
    """One version of a block.

    Raises:
        NotFoundError: the history does not have it.
    """
    found = await session.get(BlockVersion, (block_id, version))
    if found is None:
        raise NotFoundError(
            f"the history of {block_id} has no version {version}; "
            f"see `o memory history {block_id}`",
            block_id=block_id,
            version=version,
        )
    return found


async def version_before(session: AsyncSession, block: Block) -> BlockVersion:
    """The version that an undo restores: the last one with another text.

    Raises:
        ConflictError: there is none.
    """
    present = await session.get(BlockVersion, (block.id, block.version))
    before = block.version if present is None else present.restores or block.version
    while True:
        rows = await list_versions(session, block.id, before=before, limit=_LOOK_BACK)
        for row in rows:
            if row.value != block.value:
                return row
        if not rows:
            raise ConflictError(f"{block.id} has no earlier text to go back to", block_id=block.id)
        before = rows[-1].version
