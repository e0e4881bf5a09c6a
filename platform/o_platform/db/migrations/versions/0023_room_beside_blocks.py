"""Room on the pages of blocks for their next versions.

A version that finds no room beside the last one makes an entry in every index, and who looks for
the block passes those of all its former versions. Pages that there are stay full; a block that is
edited leaves them.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE blocks SET (fillfactor = 80)")


def downgrade() -> None:
    op.execute("ALTER TABLE blocks RESET (fillfactor)")
