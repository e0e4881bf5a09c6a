"""Bodies, parameters and answers of folders and their documents."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, cast

from fastapi import Form, Path, UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from o_contracts.ids import UUID_PATTERN
from o_platform.agents.defaults import DEFAULT_EMBEDDING
from o_platform.agents.folder_service import (
    DEFAULT_CHUNK,
    Duplicates,
    FileView,
    FolderChanges,
    NewFolder,
    Upload,
)
from o_platform.agents.paging import Page
from o_platform.agents.reading_service import ReadFile, opened_at, read_id
from o_platform.api.agents.schemas import Handle
from o_platform.api.fields import AgentId, FolderId, Input, Json, Name, PageQuery, Str
from o_platform.api.folders.states import CHARS_OF_A_TOKEN
from o_platform.errors import BadInputError
from o_platform.memory.chunks import LARGEST_CHUNK, SMALLEST_CHUNK

FileId = Annotated[str, StringConstraints(pattern=f"^file-{UUID_PATTERN}$")]
ReadId = Annotated[str, StringConstraints(pattern=f"^file(_agent-{UUID_PATTERN})?-{UUID_PATTERN}$")]
"""A document, or an agent's relation to it."""
FolderPath = Annotated[FolderId, Path()]
FilePath = Annotated[FileId, Path()]
FolderName = Annotated[Name, StringConstraints(pattern=r"^[^/]+$")]
_OCTETS: Final = "application/octet-stream"


class FolderCreate(Input):
    """A folder to create; `embedding_config` is the deprecated way to say which model."""

    name: FolderName
    description: Str | None = None
    instructions: Str | None = None
    embedding: Handle | None = None
    embedding_config: Json | None = None
    embedding_chunk_size: int | None = Field(
        None, ge=SMALLEST_CHUNK // CHARS_OF_A_TOKEN, le=LARGEST_CHUNK // CHARS_OF_A_TOKEN,
        description="tokens",
    )  # fmt: skip
    metadata: Json | None = None

    def new_folder(self) -> NewFolder:
        """What the service is to create."""
        handle = (self.embedding_config or {}).get("handle")
        tokens = self.embedding_chunk_size
        return NewFolder(
            name=self.name, description=self.description, instructions=self.instructions,
            embedding=self.embedding or (handle if isinstance(handle, str) else DEFAULT_EMBEDDING),
            chunk_size=DEFAULT_CHUNK if tokens is None else tokens * CHARS_OF_A_TOKEN,
            metadata=self.metadata,
        )  # fmt: skip


class FolderUpdate(Input):
    """What to change of a folder; absent fields stay."""

    name: FolderName | None = None
    description: Str | None = None
    instructions: Str | None = None
    metadata: Json | None = None

    def changes(self) -> FolderChanges:
        """What the service is to change."""
        sent = self.model_dump(exclude_unset=True)
        if sent.get("name", "") is None:
            del sent["name"]
        if "metadata" in sent:
            sent["meta"] = sent.pop("metadata")
        return cast(FolderChanges, sent)


class FolderListQuery(PageQuery):
    """Which folders to list."""

    before: FolderId | None = None
    after: FolderId | None = None
    order_by: Literal["created_at"] = "created_at"
    name: str | None = None


class FileListQuery(PageQuery):
    """Which documents of a folder to list."""

    before: FileId | None = None
    after: FileId | None = None
    order_by: Literal["created_at"] = "created_at"
    include_content: bool = False


class FileQuery(BaseModel):
    """How to show a document."""

    include_content: bool = False


class ReadersQuery(PageQuery):
    """Which of the agents that read a folder to list."""

    before: AgentId | None = None
    after: AgentId | None = None
    order_by: Literal["created_at"] = "created_at"


class ReadFilesQuery(PageQuery):
    """Which of the documents that an agent reads to list."""

    before: ReadId | None = None
    after: ReadId | None = None
    cursor: ReadId | None = None
    order_by: Literal["created_at"] = "created_at"
    is_open: bool | None = None

    def page(self, *, default_limit: int = 50) -> Page:
        """The part of the listing that is asked for; cursors may be either id of a row."""
        page = super().page(default_limit=default_limit)
        after = page.after or self.cursor
        return replace(page, before=_file_id(page.before), after=_file_id(after))


class UploadQuery(BaseModel):
    """Under which name to keep a document, and what to do if that is taken."""

    name: Annotated[Name, StringConstraints(pattern=r"^[^/]+$")] | None = None
    duplicate_handling: Duplicates = "suffix"


class UploadForm(BaseModel):
    """A document to upload."""

    model_config = ConfigDict(extra="ignore")

    file: UploadFile

    async def upload(self, query: UploadQuery) -> Upload:
        """What the service is to keep.

        Raises:
            BadInputError: the document has no name.
        """
        original = PurePath((self.file.filename or "").replace("\\", "/")).name
        if not original or "\x00" in original or not original.isprintable():
            raise BadInputError("the file needs a name", field="file")
        original = original[-200:]
        return Upload(
            name=query.name or original, original_name=original,
            media_type=(self.file.content_type or _OCTETS)[:200], data=await self.file.read(),
            duplicates=query.duplicate_handling,
        )  # fmt: skip


UploadBody = Annotated[UploadForm, Form(media_type="multipart/form-data")]


class FileState(BaseModel):
    """A document as the API shows it; `completed` means that every chunk is embedded."""

    id: str
    folder_id: str
    source_id: str = Field(description="deprecated: see folder_id")
    file_name: str
    original_file_name: str
    file_path: str | None = None
    file_type: str
    file_size: int
    processing_status: Literal["pending", "parsing", "embedding", "completed", "error"]
    error_message: str | None
    total_chunks: int | None
    chunks_embedded: int | None
    content: str | None
    created_at: datetime
    updated_at: datetime


class ReadFileState(BaseModel):
    """A document that an agent reads."""

    id: str
    file_id: str
    file_name: str
    folder_id: str
    folder_name: str
    is_open: bool
    last_accessed_at: datetime | None
    visible_content: str | None
    start_line: int | None
    end_line: int | None


class ReadFiles(BaseModel):
    """A page of the documents that an agent reads."""

    files: list[ReadFileState]
    next_cursor: str | None
    has_more: bool


def _file_id(read: str | None) -> str | None:
    return None if read is None else f"file-{read[-36:]}"


def file_state(view: FileView) -> FileState:
    """The stored document as the API shows it."""
    file = view.file
    is_cut = file.status == "embedding"
    status = "completed" if is_cut and not view.unembedded else file.status
    return FileState(
        id=file.id, folder_id=file.folder_id, source_id=file.folder_id, file_name=file.name,
        original_file_name=file.original_name, file_type=file.media_type,
        file_size=file.size_bytes, processing_status=cast(Any, status), error_message=file.error,
        total_chunks=file.chunks if is_cut else None,
        chunks_embedded=file.chunks - view.unembedded if is_cut else None,
        content=view.content, created_at=file.created_at, updated_at=file.updated_at,
    )  # fmt: skip


def read_file_state(agent_id: str, read: ReadFile) -> ReadFileState:
    """A document that an agent reads as the API shows it."""
    opened = read.opened
    return ReadFileState(
        id=read_id(agent_id, read.file.id), file_id=read.file.id, file_name=read.file.name,
        folder_id=read.folder.id, folder_name=read.folder.name, is_open=opened is not None,
        last_accessed_at=opened_at(read), visible_content=read.text,
        start_line=opened.first_line + 1 if opened else None,
        end_line=opened.last_line if opened else None,
    )  # fmt: skip
