"""What runs and steps failed of, and what the tokens of steps were; unknown for those there are.

Columns that may be empty, without a default: no row is touched.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("failure", postgresql.JSONB(), nullable=True))
    op.add_column("steps", sa.Column("cached_input_tokens", sa.Integer(), nullable=True))
    op.add_column("steps", sa.Column("reasoning_tokens", sa.Integer(), nullable=True))
    op.add_column("steps", sa.Column("failure", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("steps", "failure")
    op.drop_column("steps", "reasoning_tokens")
    op.drop_column("steps", "cached_input_tokens")
    op.drop_column("runs", "failure")
