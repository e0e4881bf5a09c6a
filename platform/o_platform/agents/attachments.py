"""Which agent holds which block: an agent holds at most one block under a label.

The functions run inside the caller's transaction, which holds the agent's lock.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.agents import block_repository, repository
from o_platform.agents.inputs import NewBlock
from o_platform.db.models import AgentBlock, Block
from o_platform.errors import ConflictError, NotFoundError


async def attach_all(session: AsyncSession, agent_id: str, block_ids: Sequence[str]) -> None:
    """Give the agent these blocks, as far as it does not hold them.

    Raises:
        NotFoundError: a block does not exist.
        ConflictError: the agent holds another block under the same label.
    """
    found = {block_id: await _locked(session, block_id) for block_id in sorted(set(block_ids))}
    if not found:
        return
    held = await repository.fetch_attachments(session, agent_id)
    blocks = [found[block_id] for block_id in dict.fromkeys(block_ids)]
    await _attach(session, agent_id, blocks, held)


async def replace(session: AsyncSession, agent_id: str, block_ids: Sequence[str]) -> None:
    """Let the agent hold exactly these blocks.

    Raises:
        NotFoundError: a block does not exist.
        ConflictError: two of them have one label.
    """
    for held in await repository.fetch_attachments(session, agent_id):
        if held.block_id not in block_ids:
            await session.delete(held)
    await session.flush()
    await attach_all(session, agent_id, block_ids)


async def detach(session: AsyncSession, agent_id: str, block_id: str) -> None:
    """Take the block from the agent.

    Raises:
        NotFoundError: the agent does not hold it.
    """
    for held in await repository.fetch_attachments(session, agent_id):
        if held.block_id == block_id:
            await session.delete(held)
            return
    raise NotFoundError(
        f"{agent_id} does not hold {block_id!r}", agent_id=agent_id, block_id=block_id
    )


def new_row(wanted: NewBlock) -> Block:
    """The row of a new block."""
    return Block(
        id=new_id("block"), label=wanted.label, value=wanted.value, char_limit=wanted.limit,
        description=wanted.description, read_only=wanted.read_only, meta=wanted.metadata,
        tags=wanted.tags,
    )  # fmt: skip


def label_conflict(agent_id: str, label: str) -> ConflictError:
    """The error for a second block under one label."""
    return ConflictError(
        f"{agent_id} already holds a block labelled {label!r}; detach it first or choose another "
        "label",
        agent_id=agent_id,
        label=label,
    )


async def _attach(
    session: AsyncSession, agent_id: str, blocks: Sequence[Block], held: Sequence[AgentBlock]
) -> None:
    by_label = {attachment.label: attachment.block_id for attachment in held}
    position = max((attachment.position for attachment in held), default=-1)
    for block in blocks:
        holder = by_label.setdefault(block.label, block.id)
        if holder != block.id:
            raise label_conflict(agent_id, block.label)
        if any(attachment.block_id == block.id for attachment in held):
            continue
        position += 1
        session.add(
            AgentBlock(agent_id=agent_id, label=block.label, block_id=block.id, position=position)
        )
    await session.flush()


async def _locked(session: AsyncSession, block_id: str) -> Block:
    block = await block_repository.lock_block(session, block_id)
    if block is None:
        raise NotFoundError(f"no block has the id {block_id!r}", block_id=block_id)
    return block
