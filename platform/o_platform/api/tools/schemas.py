"""Bodies of requests about tools, and tools as the API shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import msgspec
from pydantic import BaseModel, Field, StringConstraints

from o_platform.agents.paging import Page
from o_platform.agents.tool_repository import ToolFilter
from o_platform.agents.tool_service import RETURN_CHARS, ToolFields
from o_platform.api.agents.schemas import ToolState
from o_platform.api.fields import MAX_INT32, Input, Json, Name, PageQuery, Str, ToolId
from o_platform.db.models import McpTool, Tool
from o_platform.errors import BadInputError, NotOfferedError
from o_platform.tooling.grants import LOCAL, PLAIN, unknown_grants
from o_sandbox.tool import Language

MAX_SOURCE = 200_000
CUSTOM = "custom"
TierName = Literal["restricted", "wasm", "module", "container"]
Source = Annotated[Str, StringConstraints(min_length=1, max_length=MAX_SOURCE)]
_languages: msgspec.json.Decoder[Language] = msgspec.json.Decoder(Language)
Grant = Annotated[Str, StringConstraints(min_length=1, max_length=300)]


class Requirement(Input):
    """A package that a tool needs."""

    name: Name
    version: Name | None = None


def language_of(source_type: str | None) -> Language:
    """The language that a `source_type` names; Python if none is named.

    Raises:
        NotOfferedError: no sandbox runs it.
    """
    if source_type in (None, "python", "json"):
        return "python"
    try:
        return _languages.decode(f'"{source_type}"')
    except msgspec.MsgspecError:
        raise NotOfferedError(
            f"source_type {source_type!r} is not offered; tools are in Python, or in javascript, "
            "wat, wasm or component",
            field="source_type",
        ) from None


class _ToolBody(Input):
    """What adding and changing a tool have in common; `tier` and `grants` are this server's own."""

    description: Str | None = None
    json_schema: Json | None = None
    args_json_schema: Json | None = None
    tags: list[Name] | None = None
    source_type: Name | None = None
    return_char_limit: int | None = Field(None, ge=1, le=1_000_000)
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    pip_requirements: list[Requirement] | None = None
    npm_requirements: list[Requirement] | None = None
    metadata_: Json | None = None
    tier: TierName | None = Field(None, description="the sandbox it runs in; default wasm")
    grants: list[Grant] | None = Field(None, description="host calls it may make; default none")

    def fields(self) -> ToolFields:
        """What to set.

        Raises:
            NotOfferedError: it is in a language that no sandbox runs.
            BadInputError: a grant that there is not.
        """
        language = language_of(self.source_type)
        unknown = unknown_grants(self.grants or ())
        if unknown:
            raise BadInputError(
                f"grants: {', '.join(map(repr, unknown))} mean nothing here; grants are "
                "`http.fetch:DOMAIN`, `secrets.use:NAME`, " + ", ".join(sorted(LOCAL | PLAIN)),
                field="grants",
            )
        sent = self.model_dump(exclude_none=True, exclude={"source_type"})
        if "metadata_" in sent:
            sent["meta"] = sent.pop("metadata_")
        if self.source_type is not None:
            sent["language"] = language
        return cast(ToolFields, sent)


class ToolCreate(_ToolBody):
    """A tool to add; name, description and schema come from the source unless given."""

    source_code: Source


class ToolUpdate(_ToolBody):
    """What to change of a tool; absent fields stay."""

    source_code: Source | None = None


class ToolListQuery(PageQuery):
    """Which tools to list. Lists may be repeated parameters or separated by commas."""

    before: ToolId | None = None
    after: ToolId | None = None
    order_by: Literal["created_at"] = "created_at"
    name: str | None = None
    names: list[str] | None = None
    tool_ids: list[str] | None = None
    search: str | None = None
    tool_types: list[str] | None = None
    exclude_tool_types: list[str] | None = None
    return_only_letta_tools: bool | None = None

    def filter(self) -> ToolFilter:
        """Which of the added tools."""
        names = [self.name] if self.name is not None else _split(self.names)
        return ToolFilter(names=names, ids=_split(self.tool_ids), search=self.search)

    def wants(self, kind: str) -> bool:
        """Whether tools of this type are asked for."""
        wanted, unwanted = _split(self.tool_types), _split(self.exclude_tool_types) or []
        if self.return_only_letta_tools and not kind.startswith("letta"):
            return False
        return (wanted is None or kind in wanted) and kind not in unwanted

    def matches(self, state: ToolState) -> bool:
        """Whether a built-in tool is asked for."""
        wanted = self.filter()
        return (
            self.wants(state.tool_type)
            and (wanted.names is None or state.name in wanted.names)
            and (wanted.ids is None or state.id in wanted.ids)
            and (not wanted.search or wanted.search.lower() in state.name)
        )

    def page(self, *, default_limit: int = 50) -> Page:
        """The part of the listing that is asked for."""
        return Page(
            limit=self.limit or default_limit, before=self.before, after=self.after,
            descending=self.order == "desc",
        )  # fmt: skip


class ToolSearch(Input):
    """What to look for among the tools, in plain words."""

    query: Str | None = None
    search_mode: Literal["vector", "fts", "hybrid"] = "hybrid"
    tool_types: list[Name] | None = None
    tags: list[Name] | None = None
    limit: int = Field(50, ge=1, le=1000)


class ToolFound(BaseModel):
    """A tool, and how well it matches (1 is best)."""

    tool: ToolState
    embedded_text: str | None = None
    combined_score: float
    fts_rank: int | None = None
    vector_rank: int | None = None


class ToolRun(Input):
    """Source to run once, with these arguments; nothing is kept."""

    source_code: Source
    args: Json = Field(default_factory=dict)
    name: Name | None = None
    source_type: Name | None = None
    env_vars: dict[str, Str] | None = None
    json_schema: Json | None = None
    args_json_schema: Json | None = None
    pip_requirements: list[Requirement] | None = None
    npm_requirements: list[Requirement] | None = None
    tier: TierName | None = None

    @property
    def function(self) -> str:
        """The function to call, as `name` or the schema says; empty if neither does."""
        return self.name or str((self.json_schema or {}).get("name") or "")


class ToolReturnState(BaseModel):
    """What one call returned."""

    type: Literal["tool"] = "tool"
    tool_return: str
    status: Literal["success", "error"]
    tool_call_id: str = "null"
    stdout: list[str]
    stderr: list[str]


class ToolReturnMessageState(BaseModel):
    """The result of `POST /v1/tools/run`, in the form of a message."""

    id: str = "null"
    date: datetime
    name: str | None = None
    message_type: Literal["tool_return_message"] = "tool_return_message"
    otid: str | None = None
    sender_id: str | None = None
    step_id: str | None = None
    is_err: bool | None = None
    seq_id: int | None = None
    run_id: str | None = None
    tool_return: str
    status: Literal["success", "error"]
    tool_call_id: str = "null"
    stdout: list[str]
    stderr: list[str]
    tool_returns: list[ToolReturnState]


class ToolArguments(Input):
    """Arguments for a tool of an agent."""

    args: Json = Field(default_factory=dict)


class ToolExecution(BaseModel):
    """What running a tool of an agent came to."""

    status: Literal["success", "error"]
    func_return: Any = None
    stdout: list[str]
    stderr: list[str]
    agent_state: dict[str, Any] | None = None
    sandbox_config_fingerprint: str | None = None


class ApprovalBody(Input):
    """Whether to ask before a tool is run."""

    requires_approval: bool


class AgentToolsQuery(PageQuery):
    """Which of an agent's tools to list; they are listed in the order the agent has them in."""

    before: ToolId | None = None
    after: ToolId | None = None
    limit: int | None = Field(None, ge=1, le=MAX_INT32)
    order_by: Literal["created_at"] = "created_at"


def added_tool_state(tool: Tool) -> ToolState:
    """A tool that was added over the API, as it is shown."""
    return ToolState(
        id=tool.id, name=tool.name, description=tool.description, json_schema=tool.json_schema,
        tool_type=CUSTOM, source_type=tool.language, tags=tool.tags, source_code=tool.source_code,
        args_json_schema=tool.args_json_schema,
        return_char_limit=tool.return_char_limit or RETURN_CHARS,
        pip_requirements=tool.pip_requirements, npm_requirements=tool.npm_requirements,
        default_requires_approval=tool.default_requires_approval,
        enable_parallel_execution=tool.enable_parallel_execution, metadata_=_metadata(tool),
    )  # fmt: skip


def mcp_tool_state(tool: McpTool) -> ToolState:
    """A tool of an MCP server as it is shown."""
    schema = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return ToolState(
        id=tool.id, name=tool.name, description=tool.description, json_schema=schema,
        tool_type="external_mcp", source_type="json", tags=[f"mcp:{tool.server_id}"],
        return_char_limit=RETURN_CHARS, metadata_={"mcp": {"server_id": tool.server_id}},
    )  # fmt: skip


def _metadata(tool: Tool) -> dict[str, Any]:
    digest = hashlib.sha256(tool.source_code.encode()).hexdigest()[:12]
    return {"tool_hash": digest, "tier": tool.tier, "grants": tool.grants, **tool.meta}


def _split(values: Iterable[str] | None) -> list[str] | None:
    if values is None:
        return None
    return [part for value in values for part in value.split(",") if part]
