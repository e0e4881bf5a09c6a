"""`/v1/mcp-servers`: MCP servers, and the tools that they have."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Response

from o_platform.api.agents.schemas import ToolState
from o_platform.api.deps import McpDep, PlatformDep
from o_platform.api.fields import ToolId
from o_platform.api.mcp_servers.schemas import (
    ServerCreate,
    ServerPath,
    ServerState,
    ServerUpdate,
    ToolCall,
    mcp_config,
    server_state,
)
from o_platform.api.tools.results import mcp_execution
from o_platform.api.tools.schemas import ToolExecution, mcp_tool_state
from o_platform.errors import ForbiddenError
from o_platform.settings import Settings

router = APIRouter(prefix="/v1/mcp-servers", tags=["mcp servers"])
_ONE = "/{mcp_server_id}"
ToolPath = Annotated[ToolId, Path()]
Role = Annotated[str, Header(alias="x-o-role", include_in_schema=False)]


@router.post("", response_model=ServerState, response_model_exclude_unset=True)
async def create_server(
    body: ServerCreate, platform: PlatformDep, mcp: McpDep, role: Role = ""
) -> dict[str, Any]:
    """Add an MCP server, with the tools that it has now."""
    _require_may(body, platform.settings, role)
    return server_state(await mcp.create(body.server_name, mcp_config(body)))


@router.get("", response_model=list[ServerState], response_model_exclude_unset=True)
async def list_servers(mcp: McpDep) -> list[dict[str, Any]]:
    """List MCP servers."""
    return [server_state(server) for server in await mcp.list()]


@router.get(_ONE, response_model=ServerState, response_model_exclude_unset=True)
async def retrieve_server(mcp_server_id: ServerPath, mcp: McpDep) -> dict[str, Any]:
    """One MCP server."""
    return server_state(await mcp.fetch(mcp_server_id))


@router.patch(_ONE, response_model=ServerState, response_model_exclude_unset=True)
async def update_server(
    mcp_server_id: ServerPath,
    body: ServerUpdate,
    platform: PlatformDep,
    mcp: McpDep,
    role: Role = "",
) -> dict[str, Any]:
    """Change an MCP server, and read its tools anew."""
    _require_may(body, platform.settings, role)
    config = mcp_config(body, await mcp.fetch(mcp_server_id))
    return server_state(await mcp.update(mcp_server_id, body.server_name, config))


@router.delete(_ONE)
async def delete_server(mcp_server_id: ServerPath, mcp: McpDep) -> Response:
    """Delete an MCP server; its tools are taken from agents."""
    await mcp.delete(mcp_server_id)
    return Response("null", media_type="application/json")


@router.patch(_ONE + "/refresh")
async def refresh_server(mcp_server_id: ServerPath, mcp: McpDep) -> list[ToolState]:
    """Read a server's tools anew."""
    return [mcp_tool_state(tool) for tool in await mcp.refresh(mcp_server_id)]


@router.get(_ONE + "/tools")
async def list_server_tools(mcp_server_id: ServerPath, mcp: McpDep) -> list[ToolState]:
    """List a server's tools."""
    return [mcp_tool_state(tool) for tool in await mcp.tools(mcp_server_id)]


@router.get(_ONE + "/tools/{tool_id}")
async def retrieve_server_tool(
    mcp_server_id: ServerPath, tool_id: ToolPath, mcp: McpDep
) -> ToolState:
    """One tool of a server."""
    return mcp_tool_state(await mcp.tool(mcp_server_id, tool_id))


@router.post(_ONE + "/tools/{tool_id}/run")
async def run_server_tool(
    mcp_server_id: ServerPath, tool_id: ToolPath, mcp: McpDep, body: ToolCall | None = None
) -> ToolExecution:
    """Run a tool of a server once, outside any turn."""
    tool = await mcp.tool(mcp_server_id, tool_id)
    return mcp_execution(await mcp.run(tool, body.args if body is not None else {}))


def _require_may(body: ServerCreate, settings: Settings, role: str) -> None:
    """Whoever adds a program runs it on this machine.

    Raises:
        ForbiddenError: the caller may not.
    """
    if body.config.mcp_server_type != "stdio" or settings.mcp_stdio == "anyone":
        return
    if settings.mcp_stdio == "off":
        raise ForbiddenError("programs are not started as MCP servers here (O_MCP_STDIO=off)")
    if role != "operator":
        raise ForbiddenError(
            "an MCP server of the type stdio is a program on the platform's machine: adding one "
            "needs an operator's key (or O_MCP_STDIO=anyone)"
        )
