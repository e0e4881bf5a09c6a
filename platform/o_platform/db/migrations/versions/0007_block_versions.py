"""The history of memory blocks.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_CREATE = """
CREATE TABLE block_versions (
  block_id text NOT NULL CONSTRAINT fk_block_versions_block_id_blocks
    REFERENCES blocks (id) ON DELETE CASCADE,
  version bigint NOT NULL,
  value text NOT NULL,
  who text NOT NULL DEFAULT '',
  why text NOT NULL DEFAULT '',
  run_id text,
  restores bigint,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_block_versions PRIMARY KEY (block_id, version)
)
"""


def upgrade() -> None:
    op.execute(_CREATE)


def downgrade() -> None:
    op.drop_table("block_versions")
