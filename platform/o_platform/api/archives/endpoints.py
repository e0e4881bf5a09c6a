"""`/v1/archives`: archives, their passages, and which agents hold them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from o_platform.api.archives.schemas import (
    ArchiveCreate,
    ArchiveListQuery,
    ArchiveState,
    ArchiveUpdate,
    archive_state,
)
from o_platform.api.deps import ArchivesDep
from o_platform.api.fields import AgentPath, ArchivePath, PassagePath
from o_platform.api.passages.schemas import (
    ArchivePassageCreate,
    PassageBatch,
    PassageState,
    passage_state,
)

router = APIRouter(prefix="/v1", tags=["archives"])
_ONE = "/archives/{archive_id}"
_HELD = "/agents/{agent_id}/archives"


@router.post("/archives")
async def create_archive(body: ArchiveCreate, archives: ArchivesDep) -> ArchiveState:
    """Create an archive that no agent holds yet."""
    return archive_state(await archives.create(body.new_archive()))


@router.get("/archives")
async def list_archives(
    archives: ArchivesDep, query: Annotated[ArchiveListQuery, Query()]
) -> list[ArchiveState]:
    """List archives."""
    return [archive_state(one) for one in await archives.list(query.filter(), query.page())]


@router.get(_ONE)
async def retrieve_archive(archive_id: ArchivePath, archives: ArchivesDep) -> ArchiveState:
    """One archive."""
    return archive_state(await archives.fetch(archive_id))


@router.patch(_ONE)
async def update_archive(
    archive_id: ArchivePath, body: ArchiveUpdate, archives: ArchivesDep
) -> ArchiveState:
    """Change an archive; with another `embedding`, embed its passages anew in the background."""
    return archive_state(await archives.update(archive_id, body.changes()))


@router.delete(_ONE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_archive(archive_id: ArchivePath, archives: ArchivesDep) -> None:
    """Delete an archive with its passages."""
    await archives.delete(archive_id)


@router.post(_ONE + "/passages")
async def create_passage(
    archive_id: ArchivePath, body: ArchivePassageCreate, archives: ArchivesDep
) -> PassageState:
    """Keep a text in an archive."""
    (kept,) = await archives.keep(archive_id, [body.new_passage()])
    return passage_state(kept)


@router.post(_ONE + "/passages/batch")
async def create_passages(
    archive_id: ArchivePath, body: PassageBatch, archives: ArchivesDep
) -> list[PassageState]:
    """Keep texts in an archive, all or none."""
    kept = await archives.keep(archive_id, [one.new_passage() for one in body.passages])
    return [passage_state(one) for one in kept]


@router.delete(_ONE + "/passages/{passage_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_passage(
    archive_id: ArchivePath, passage_id: PassagePath, archives: ArchivesDep
) -> None:
    """Delete a passage of an archive."""
    await archives.forget(archive_id, passage_id)


@router.patch(_HELD + "/attach/{archive_id}")
async def attach_archive(
    agent_id: AgentPath, archive_id: ArchivePath, archives: ArchivesDep
) -> Response:
    """Let an agent search an archive; it keeps new passages in the one it got first."""
    await archives.attach(agent_id, archive_id)
    return Response("null", media_type="application/json")


@router.patch(_HELD + "/detach/{archive_id}")
async def detach_archive(
    agent_id: AgentPath, archive_id: ArchivePath, archives: ArchivesDep
) -> Response:
    """Let an agent search an archive no more; the archive stays."""
    await archives.detach(agent_id, archive_id)
    return Response("null", media_type="application/json")
