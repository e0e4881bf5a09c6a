"""The index of messages that recall searches; a job fills it.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_UP = """
CREATE TABLE message_index (
  seq bigint NOT NULL CONSTRAINT pk_message_index PRIMARY KEY
    CONSTRAINT fk_message_index_seq_messages REFERENCES messages (seq) ON DELETE CASCADE,
  agent_id text NOT NULL,
  conversation_id text,
  type text NOT NULL,
  words tsvector NOT NULL,
  model text NOT NULL,
  embedding halfvec NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE INDEX ix_message_index_agent_seq ON message_index (agent_id, seq);
CREATE INDEX ix_message_index_words ON message_index USING gin (words);
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.drop_table("message_index")
