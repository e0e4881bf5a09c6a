"""An approximate index of the vectors of long histories; a job tells which these are.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_UP = """
CREATE TABLE long_histories (
  agent_id text NOT NULL CONSTRAINT pk_long_histories PRIMARY KEY
    CONSTRAINT fk_long_histories_agent_id_agents REFERENCES agents (id) ON DELETE CASCADE,
  added_up_to bigint NOT NULL DEFAULT 0,
  is_complete boolean NOT NULL DEFAULT false
);
ALTER TABLE message_index ADD COLUMN is_long boolean NOT NULL DEFAULT false;
"""


def upgrade() -> None:
    op.execute(_UP)
    for dimensions in (256, 384, 768, 1024, 1536, 3072):
        op.execute(
            f"CREATE INDEX ix_message_index_hnsw_{dimensions} ON message_index USING hnsw "
            f"((embedding::halfvec({dimensions})) halfvec_cosine_ops) "
            f"WHERE is_long AND vector_dims(embedding) = {dimensions}"
        )


def downgrade() -> None:
    op.drop_column("message_index", "is_long")
    op.drop_table("long_histories")
