"""An MCP server with one tool: `python mcp_server.py [stdio | sse PORT | streamable-http PORT]`."""

from __future__ import annotations

import sys

from mcp.server import MCPServer

server = MCPServer("numbers")


@server.tool()
def multiply(a: int, b: int) -> str:
    """Multiply two numbers."""
    if a < 0:
        raise ValueError("no negative numbers")
    return str(a * b)


if __name__ == "__main__":
    kind, *port = [*sys.argv[1:], "stdio"][:2]
    if kind == "stdio":
        server.run("stdio")
    else:
        server.run(kind, port=int(port[0]))  # type: ignore[call-overload]
