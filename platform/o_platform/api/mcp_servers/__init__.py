"""MCP servers over the API."""
