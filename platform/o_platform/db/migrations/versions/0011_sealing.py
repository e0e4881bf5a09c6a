"""Encryption at rest: keys, marks instead of words, the tool of a message.

Rows from before are sealed by a job once the platform runs.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_UP = """
CREATE TABLE encryption_keys (
  id text NOT NULL CONSTRAINT pk_encryption_keys PRIMARY KEY,
  progress jsonb NOT NULL DEFAULT '{}'::jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  sealed_at timestamptz
);
ALTER TABLE passages ALTER COLUMN words DROP EXPRESSION;
ALTER TABLE messages ADD COLUMN tool text;
UPDATE messages SET tool = coalesce(body #>> '{tool_calls,0,name}', body ->> 'name')
WHERE type IN ('tool_call_message', 'tool_return_message', 'approval_request_message');
"""

_DOWN = """
ALTER TABLE messages DROP COLUMN tool;
DROP INDEX ix_passages_words;
ALTER TABLE passages DROP COLUMN words;
ALTER TABLE passages ADD COLUMN words tsvector
  GENERATED ALWAYS AS (to_tsvector('english'::regconfig, text)) STORED;
CREATE INDEX ix_passages_words ON passages USING gin (words);
DROP TABLE encryption_keys;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    """Sealed values stay sealed: an earlier version cannot read them."""
    op.execute(_DOWN)
