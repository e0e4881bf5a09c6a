"""Agents whose memory a sleep-time companion keeps.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "groups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("manager_id", sa.Text(), nullable=False),
        sa.Column("companion_id", sa.Text(), nullable=False),
        sa.Column("frequency", sa.Integer(), nullable=False),
        sa.Column("turns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("moved_tools", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_message_id", sa.Text(), nullable=True),
        sa.Column("last_run_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["manager_id"], ["agents.id"], name=op.f("fk_groups_manager_id_agents"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["companion_id"], ["agents.id"], name=op.f("fk_groups_companion_id_agents"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
    )  # fmt: skip
    op.create_index("uq_groups_manager_id", "groups", ["manager_id"], unique=True)
    op.create_index("uq_groups_companion_id", "groups", ["companion_id"], unique=True)
    op.create_index("ix_groups_created", "groups", ["created_at", "id"])


def downgrade() -> None:
    op.drop_table("groups")
