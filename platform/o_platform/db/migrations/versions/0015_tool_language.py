"""Tools in other languages than Python.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "tools", sa.Column("language", sa.Text(), server_default="python", nullable=False)
    )


def downgrade() -> None:
    op.execute("DELETE FROM tools WHERE language <> 'python'")
    op.drop_column("tools", "language")
