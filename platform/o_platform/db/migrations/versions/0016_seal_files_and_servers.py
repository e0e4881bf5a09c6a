"""Texts and uploads of documents and how to reach MCP servers are sealed, too.

The job that seals goes on once the platform runs: with what it has not come to yet.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE encryption_keys SET sealed_at = NULL")


def downgrade() -> None:
    """Sealed values stay sealed: an earlier version cannot read them."""
