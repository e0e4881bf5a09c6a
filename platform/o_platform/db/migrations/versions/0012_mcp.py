"""MCP servers and their tools.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_MCP = """
CREATE TABLE mcp_servers (
  id text CONSTRAINT pk_mcp_servers PRIMARY KEY,
  name text NOT NULL CONSTRAINT uq_mcp_servers_name UNIQUE,
  kind text NOT NULL,
  config jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_mcp_servers_created ON mcp_servers (created_at, id);
CREATE TABLE mcp_tools (
  id text CONSTRAINT pk_mcp_tools PRIMARY KEY,
  server_id text NOT NULL
    CONSTRAINT fk_mcp_tools_server_id REFERENCES mcp_servers (id) ON DELETE CASCADE,
  name text NOT NULL,
  description text NOT NULL,
  parameters jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT uq_mcp_tools_server_id_name UNIQUE (server_id, name)
);
"""


def upgrade() -> None:
    op.execute(_MCP)


def downgrade() -> None:
    op.execute("DROP TABLE mcp_tools, mcp_servers")
