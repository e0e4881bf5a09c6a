"""Bodies and answers of MCP servers. What is secret of a configuration is never shown."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import Path
from pydantic import BaseModel, Field, StringConstraints, field_validator

from o_contracts.ids import UUID_PATTERN
from o_platform.api.fields import Input, Json, Name, Str
from o_platform.db.models import McpServer
from o_platform.tooling.mcp_service import McpConfig

SECRET: Final = "***"  # noqa: S105 — stands for one
"""Shown in place of secrets; sent back, it leaves them as they are."""
ServerId = Annotated[str, StringConstraints(pattern=f"^mcp_server-{UUID_PATTERN}$")]
ServerPath = Annotated[ServerId, Path()]
Url = Annotated[Str, StringConstraints(pattern=r"^https?://[^\s/]+\S*$", max_length=2000)]
Headers = dict[Name, Annotated[Str, StringConstraints(max_length=10_000)]]


class StdioConfig(Input):
    """A program to start on the platform's machine."""

    mcp_server_type: Literal["stdio"] = "stdio"
    command: Annotated[Str, StringConstraints(min_length=1, max_length=1000)]
    args: list[Annotated[Str, StringConstraints(max_length=10_000)]] = Field(
        default_factory=list, max_length=100
    )
    env: Headers | None = None


class HttpConfig(Input):
    """A server that is reached by HTTP."""

    mcp_server_type: Literal["sse", "streamable_http"] = "streamable_http"
    server_url: Url
    auth_header: Name | None = None
    auth_token: Annotated[Str, StringConstraints(max_length=10_000)] | None = None
    custom_headers: Headers | None = None


class ServerCreate(Input):
    """An MCP server to add."""

    server_name: Name
    config: Annotated[StdioConfig | HttpConfig, Field(discriminator="mcp_server_type")]

    @field_validator("config", mode="before")
    @classmethod
    def _is_told_apart(cls, value: Any) -> Any:
        """Say what is wrong with the kind that is meant, not with each of them."""
        if isinstance(value, dict) and "mcp_server_type" not in value:
            kind = "stdio" if "command" in value else "streamable_http"
            return {**value, "mcp_server_type": kind}
        return value


class ServerUpdate(ServerCreate):
    """What to change of an MCP server; `config` replaces the present one."""

    server_name: Name | None = None  # type: ignore[assignment]


class ToolCall(Input):
    """Arguments to run a tool with."""

    args: Json = Field(default_factory=dict)


class ServerState(BaseModel):
    """An MCP server as the API shows it; which fields it has depends on its kind."""

    id: str
    server_name: str
    mcp_server_type: Literal["stdio", "sse", "streamable_http"]
    command: str | None = None
    args: list[str] | None = None
    env: dict[str, str] | None = None
    server_url: str | None = None
    auth_header: str | None = None
    auth_token: str | None = None
    custom_headers: dict[str, str] | None = None


def mcp_config(body: ServerCreate, present: McpServer | None = None) -> McpConfig:
    """The configuration to keep; secrets that are sent as shown stay as they are."""
    values = body.config.model_dump(exclude={"mcp_server_type"}, exclude_none=True)
    kept = present.config if present is not None else {}
    for name, value in values.items():
        if value == SECRET:
            values[name] = kept.get(name, value)
        elif isinstance(value, dict):
            before = kept.get(name) or {}
            values[name] = {k: before.get(k, v) if v == SECRET else v for k, v in value.items()}
    return McpConfig(body.config.mcp_server_type, values)


def server_state(server: McpServer) -> dict[str, Any]:
    """The stored server as the API shows it."""
    shown = dict(server.config)
    for name in ("env", "custom_headers"):
        if shown.get(name):
            shown[name] = dict.fromkeys(shown[name], SECRET)
    if shown.get("auth_token"):
        shown["auth_token"] = SECRET
    state = ServerState(
        id=server.id, server_name=server.name, mcp_server_type=server.kind, **shown
    )  # fmt: skip
    return state.model_dump(exclude_none=True)
