"""Conversations: threads of an agent beside its default one.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("model_settings", postgresql.JSONB(), nullable=True),
        sa.Column("context_window_limit", sa.Integer(), nullable=True),
        sa.Column("hidden", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_message_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_conversations_agent_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_index(
        "ix_conversations_agent_created", "conversations", ["agent_id", "created_at", "id"]
    )
    op.create_index("ix_conversations_created", "conversations", ["created_at", "id"])
    op.add_column("messages", sa.Column("conversation_id", sa.Text(), nullable=True))
    op.create_index(
        "ix_messages_conversation_seq",
        "messages",
        ["conversation_id", "seq"],
        postgresql_where=sa.text("conversation_id IS NOT NULL"),
    )
    op.add_column("runs", sa.Column("conversation_id", sa.Text(), nullable=True))
    op.add_column(
        "runs",
        sa.Column("background", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("runs", "background")
    op.drop_column("runs", "conversation_id")
    op.drop_index("ix_messages_conversation_seq", table_name="messages")
    op.drop_column("messages", "conversation_id")
    op.drop_table("conversations")
