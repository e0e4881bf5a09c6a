"""What clients say of steps.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("steps", sa.Column("feedback", sa.Text(), nullable=True))
    op.add_column(
        "steps",
        sa.Column(
            "tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
    )
    op.create_index(
        "ix_steps_feedback",
        "steps",
        ["created_at", "id"],
        postgresql_where=sa.text("feedback IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_steps_feedback", table_name="steps")
    op.drop_column("steps", "tags")
    op.drop_column("steps", "feedback")
