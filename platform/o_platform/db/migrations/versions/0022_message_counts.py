"""How many messages threads have.

A turn whose agent is in no cache reads it; it counted them, and the longer a history was, the more
that was of all it read. Those there are are counted once, here.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_COUNT = """
UPDATE {table} SET message_count = counted.messages
FROM (SELECT {key} AS id, count(*) AS messages FROM messages WHERE {which} GROUP BY 1) AS counted
WHERE {table}.id = counted.id
"""


def upgrade() -> None:
    for table in ("agents", "conversations"):
        count = sa.Column("message_count", sa.BigInteger(), server_default="0", nullable=False)
        op.add_column(table, count)
    own = "conversation_id IS NULL"
    op.execute(_COUNT.format(table="agents", key="agent_id", which=own))
    said = "conversation_id IS NOT NULL"
    op.execute(_COUNT.format(table="conversations", key="conversation_id", which=said))


def downgrade() -> None:
    op.drop_column("conversations", "message_count")
    op.drop_column("agents", "message_count")
