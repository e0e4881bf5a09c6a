"""Field types shared by the API's schemas: ids, text, JSON, and the parameters of a listing."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from o_contracts.ids import UUID_PATTERN
from o_platform.agents.paging import Page
from o_platform.spans import last_moment

MAX_PAGE = 10_000
MAX_INT32 = 2_147_483_647
MAX_INT64 = 9_223_372_036_854_775_807
T = TypeVar("T")


def _storable_text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the NUL character")
    if not value.isascii():
        _require_unicode(value)
    return value


def _require_unicode(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        raise ValueError(f"must be Unicode text, not half a surrogate pair ({half})") from error


def _storable_json(value: T) -> T:
    try:
        encoded = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must be plain JSON: {error}") from error
    if b"\\u0000" in encoded and "\x00" in _strings(value):
        raise ValueError("must not contain the NUL character")
    return value


def _strings(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_strings(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return "".join(map(_strings, value))
    return value if isinstance(value, str) else ""


def _to_its_end(date: Any) -> Any:
    return last_moment(date) if isinstance(date, str) else date


Str = Annotated[str, AfterValidator(_storable_text)]
"""Text that PostgreSQL can keep."""
Name = Annotated[Str, StringConstraints(min_length=1, max_length=200)]
Json = Annotated[dict[str, Any], AfterValidator(_storable_json)]
"""A JSON object that PostgreSQL can keep."""
JsonValue = Annotated[Any, AfterValidator(_storable_json)]
"""Any JSON that PostgreSQL can keep."""

Date = Annotated[datetime, Field(strict=False)]
EndDate = Annotated[datetime, BeforeValidator(_to_its_end), Field(strict=False)]
"""Where a span of time ends; a day without a time of day belongs to it as a whole."""

AgentId = Annotated[str, StringConstraints(pattern=f"^agent-{UUID_PATTERN}$")]
BlockId = Annotated[str, StringConstraints(pattern=f"^block-{UUID_PATTERN}$")]
IdentityId = Annotated[str, StringConstraints(pattern=f"^identity-{UUID_PATTERN}$")]
MessageId = Annotated[str, StringConstraints(pattern=f"^message-{UUID_PATTERN}$")]
ConversationId = Annotated[str, StringConstraints(pattern=f"^conv-{UUID_PATTERN}$")]
ThreadId = Annotated[str, StringConstraints(pattern=f"^((conv|agent)-{UUID_PATTERN}|default)$")]
"""A conversation, or an agent, or `default`: that of an agent named elsewhere."""
RunId = Annotated[str, StringConstraints(pattern=f"^run-{UUID_PATTERN}$")]
StepId = Annotated[str, StringConstraints(pattern=f"^step-{UUID_PATTERN}$")]
ToolId = Annotated[str, StringConstraints(pattern=f"^tool-{UUID_PATTERN}$")]

ArchiveId = Annotated[str, StringConstraints(pattern=f"^archive-{UUID_PATTERN}$")]
PassageId = Annotated[str, StringConstraints(pattern=f"^passage-{UUID_PATTERN}$")]

AgentPath = Annotated[AgentId, Path()]
BlockPath = Annotated[BlockId, Path()]
FolderId = Annotated[str, StringConstraints(pattern=f"^source-{UUID_PATTERN}$")]

ArchivePath = Annotated[ArchiveId, Path()]
PassagePath = Annotated[PassageId, Path()]


class Input(BaseModel):
    """A request body: types are strict, unknown fields are ignored (SDKs grow)."""

    model_config = ConfigDict(strict=True, extra="ignore")


class PageQuery(BaseModel):
    """The parameters of every listing."""

    limit: int | None = Field(None, ge=1, le=MAX_PAGE, description="rows at most; default 50")
    order: Literal["asc", "desc"] = Field("desc", description="asc: oldest first; desc: newest")

    def page(self, *, default_limit: int = 50) -> Page:
        """The part of the listing that is asked for."""
        return Page(
            limit=self.limit or default_limit,
            before=getattr(self, "before", None),
            after=getattr(self, "after", None),
            descending=self.order == "desc",
        )
