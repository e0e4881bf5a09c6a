"""`/v1/folders`, and what agents read of them: `/v1/agents/{id}/folders`, `…/files`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from o_platform.agents.folder_service import FolderView
from o_platform.api.deps import FoldersDep, ReadingDep
from o_platform.api.fields import AgentPath
from o_platform.api.folders.schemas import (
    FileListQuery,
    FilePath,
    FileQuery,
    FileState,
    FolderCreate,
    FolderListQuery,
    FolderPath,
    FolderUpdate,
    ReadersQuery,
    ReadFiles,
    ReadFilesQuery,
    UploadBody,
    UploadQuery,
    file_state,
    read_file_state,
)
from o_platform.api.folders.states import FolderState, folder_state

router = APIRouter(prefix="/v1", tags=["folders"])
_ONE = "/folders/{folder_id}"
_AGENT = "/agents/{agent_id}"


@router.post("/folders")
async def create_folder(body: FolderCreate, folders: FoldersDep) -> FolderState:
    """Create a folder."""
    return _shown(await folders.create(body.new_folder()))


@router.get("/folders")
async def list_folders(
    folders: FoldersDep, query: Annotated[FolderListQuery, Query()]
) -> list[FolderState]:
    """List folders."""
    return [_shown(view) for view in await folders.list(query.name, query.page())]


@router.get(_ONE)
async def retrieve_folder(folder_id: FolderPath, folders: FoldersDep) -> FolderState:
    """One folder."""
    return _shown(await folders.fetch(folder_id))


@router.patch(_ONE)
async def update_folder(
    folder_id: FolderPath, body: FolderUpdate, folders: FoldersDep
) -> FolderState:
    """Change a folder."""
    return _shown(await folders.update(folder_id, body.changes()))


@router.delete(_ONE)
async def delete_folder(folder_id: FolderPath, folders: FoldersDep) -> Response:
    """Delete a folder with its documents."""
    await folders.delete(folder_id)
    return Response("null", media_type="application/json")


@router.get(_ONE + "/agents")
async def list_readers(
    folder_id: FolderPath, folders: FoldersDep, query: Annotated[ReadersQuery, Query()]
) -> list[str]:
    """Ids of the agents that read a folder."""
    return [agent.id for agent in await folders.readers(folder_id, query.page())]


@router.post(_ONE + "/upload")
async def upload_file(
    folder_id: FolderPath,
    form: UploadBody,
    folders: FoldersDep,
    query: Annotated[UploadQuery, Query()],
) -> FileState:
    """Put a document into a folder; it is read and embedded in the background."""
    return file_state(await folders.upload(folder_id, await form.upload(query)))


@router.get(_ONE + "/files")
async def list_files(
    folder_id: FolderPath, folders: FoldersDep, query: Annotated[FileListQuery, Query()]
) -> list[FileState]:
    """List a folder's documents."""
    found = await folders.files(folder_id, query.page(), content=query.include_content)
    return [file_state(view) for view in found]


@router.get(_ONE + "/files/{file_id}")
async def retrieve_file(
    folder_id: FolderPath,
    file_id: FilePath,
    folders: FoldersDep,
    query: Annotated[FileQuery, Query()],
) -> FileState:
    """One document of a folder."""
    return file_state(await folders.file(folder_id, file_id, content=query.include_content))


@router.delete(_ONE + "/{file_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_file(folder_id: FolderPath, file_id: FilePath, folders: FoldersDep) -> None:
    """Delete a document of a folder."""
    await folders.delete_file(folder_id, file_id)


@router.get(_AGENT + "/folders")
async def list_folders_of_agent(
    agent_id: AgentPath, reading: ReadingDep, query: Annotated[FolderListQuery, Query()]
) -> list[FolderState]:
    """List the folders that an agent reads."""
    return [_shown(view) for view in await reading.folders(agent_id, query.page())]


@router.patch(_AGENT + "/folders/attach/{folder_id}")
async def attach_folder(
    agent_id: AgentPath, folder_id: FolderPath, reading: ReadingDep
) -> Response:
    """Let an agent read a folder; the first one brings the tools for that."""
    await reading.attach(agent_id, folder_id)
    return Response("null", media_type="application/json")


@router.patch(_AGENT + "/folders/detach/{folder_id}")
async def detach_folder(
    agent_id: AgentPath, folder_id: FolderPath, reading: ReadingDep
) -> Response:
    """Let an agent read a folder no more."""
    await reading.detach(agent_id, folder_id)
    return Response("null", media_type="application/json")


@router.get(_AGENT + "/files")
async def list_read_files(
    agent_id: AgentPath, reading: ReadingDep, query: Annotated[ReadFilesQuery, Query()]
) -> ReadFiles:
    """List the documents that an agent reads."""
    page = query.page()
    found = await reading.files(agent_id, page, is_open=query.is_open)
    shown = [read_file_state(agent_id, one) for one in found]
    has_more = len(shown) == page.limit
    return ReadFiles(
        files=shown, next_cursor=shown[-1].file_id if has_more else None, has_more=has_more
    )


@router.patch(_AGENT + "/files/close-all")
async def close_all_files(agent_id: AgentPath, reading: ReadingDep) -> list[str]:
    """Close every document that an agent has open; answers with their names."""
    return list(await reading.close_all(agent_id))


@router.patch(_AGENT + "/files/{file_id}/open")
async def open_file(agent_id: AgentPath, file_id: FilePath, reading: ReadingDep) -> list[str]:
    """Open a document for an agent; answers with the names of those closed for it."""
    return list(await reading.open(agent_id, file_id))


@router.patch(_AGENT + "/files/{file_id}/close")
async def close_file(agent_id: AgentPath, file_id: FilePath, reading: ReadingDep) -> Response:
    """Close a document for an agent."""
    await reading.close(agent_id, file_id)
    return Response("null", media_type="application/json")


def _shown(view: FolderView) -> FolderState:
    return folder_state(view.folder, view.archive)
