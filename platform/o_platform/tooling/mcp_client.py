"""MCP servers, spoken to by the official client: over standard streams, SSE or streamable HTTP.

`mcp` takes a second to import, so it is imported with the first server. Every wait is bounded: a
server that hangs fails the call, not the platform. A program that is started gets the environment
of its configuration and what every program needs, never the platform's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from o_platform.errors import OError, UnavailableError

if TYPE_CHECKING:
    from mcp import Client

CONNECT_S: Final = 30.0
CALL_S: Final = 60.0
MOST_TOOLS: Final = 500
MOST_CHARACTERS: Final = 200_000
"""Of a result; what is longer is cut."""


class McpError(UnavailableError):
    """An MCP server cannot be reached, or broke the protocol."""

    code = "mcp_failed"
    status = 502


class OfferedTool(Struct, frozen=True):
    """A tool as its server describes it."""

    name: str
    description: str
    parameters: dict[str, Any]


class McpResult(Struct, frozen=True):
    """What a call came to; `is_error` is the tool's own failure."""

    text: str
    is_error: bool = False


@asynccontextmanager
async def connected(name: str, kind: str, config: Mapping[str, Any]) -> AsyncIterator[Client]:
    """A connection to a server while the context is open.

    Raises:
        McpError: it cannot be reached, or does not answer in time.
    """
    # In a thread: whoever calls this serves others meanwhile.
    await asyncio.to_thread(_import_client)
    from mcp import Client

    with _told(name), open(os.devnull, "w") as nowhere:  # noqa: ASYNC230 — no real file
        async with asyncio.timeout(CONNECT_S) as limit:
            async with (
                _transport(kind, config, nowhere) as transport,
                Client(transport, read_timeout_seconds=CALL_S) as client,
            ):
                limit.reschedule(None)
                yield client


async def offered_tools(client: Client) -> list[OfferedTool]:
    """Every tool of a server, `MOST_TOOLS` at most."""
    found: list[OfferedTool] = []
    cursor: str | None = None
    async with asyncio.timeout(CALL_S):
        while len(found) < MOST_TOOLS:
            page = await client.list_tools(cursor=cursor)
            found += [
                OfferedTool(tool.name[:200], tool.description or "", dict(tool.input_schema))
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if cursor is None:
                break
    return found[:MOST_TOOLS]


async def call_tool(client: Client, tool: str, arguments: dict[str, Any]) -> McpResult:
    """Call a tool of a server; a refusal of the server is a result, too."""
    from mcp import MCPError

    try:
        result = await client.call_tool(tool, arguments, read_timeout_seconds=CALL_S)
    except MCPError as error:
        return McpResult(f"{error}"[:MOST_CHARACTERS], is_error=True)
    parts = [_shown(part) for part in result.content]
    text = "\n".join(part for part in parts if part).replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return McpResult(text[:MOST_CHARACTERS], result.is_error)


def _import_client() -> None:
    for name in ("mcp", "mcp.client.sse", "mcp.client.stdio", "mcp.client.streamable_http"):
        import_module(name)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Whatever goes wrong is one error that names the server."""
    try:
        yield
    except OError:
        raise
    except Exception as error:
        why = _reason(error)
        raise McpError(f"the MCP server {name!r} failed: {why}", server=name) from error


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return f"{type(error).__name__}: {error}"[:500]


@asynccontextmanager
async def _transport(kind: str, config: Mapping[str, Any], nowhere: Any) -> AsyncIterator[Any]:
    from mcp import StdioServerParameters
    from mcp.client.sse import sse_client
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    if kind == "stdio":
        program = StdioServerParameters(
            command=config["command"], args=list(config["args"]), env=config.get("env")
        )
        yield stdio_client(program, errlog=nowhere)
    elif kind == "sse":
        headers = _headers(config)
        yield sse_client(config["server_url"], headers=headers, sse_read_timeout=CALL_S)
    else:
        async with create_mcp_http_client(headers=_headers(config)) as http:
            yield streamable_http_client(config["server_url"], http_client=http)


def _headers(config: Mapping[str, Any]) -> dict[str, str]:
    headers = dict(config.get("custom_headers") or {})
    token = config.get("auth_token")
    if token:
        headers[config.get("auth_header") or "Authorization"] = token
    return headers


def _shown(part: Any) -> str:
    text = getattr(part, "text", None)
    if isinstance(text, str):
        return text
    resource = getattr(getattr(part, "resource", None), "text", None)
    return resource if isinstance(resource, str) else f"[{part.type} content is not shown]"
