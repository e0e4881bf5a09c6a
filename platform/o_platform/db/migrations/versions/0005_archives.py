"""Archives: passages belong to them, agents hold them, vectors stand in a table of their own.

Each agent with passages gets an archive of its own that holds these.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ARCHIVES = """
CREATE TABLE archives (
  id text CONSTRAINT pk_archives PRIMARY KEY,
  name text NOT NULL,
  description text,
  embedding text NOT NULL,
  dimensions integer NOT NULL,
  next_embedding text,
  is_untidy boolean NOT NULL DEFAULT false,
  embedded_up_to text NOT NULL DEFAULT '',
  metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
  owner_id text CONSTRAINT fk_archives_owner_id REFERENCES agents (id) ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_archives_created ON archives (created_at, id);
CREATE INDEX ix_archives_name ON archives (name);
CREATE UNIQUE INDEX uq_archives_owner_id ON archives (owner_id);
CREATE INDEX ix_archives_next_embedding ON archives (next_embedding)
  WHERE next_embedding IS NOT NULL;
CREATE TABLE agent_archives (
  agent_id text NOT NULL
    CONSTRAINT fk_agent_archives_agent_id REFERENCES agents (id) ON DELETE CASCADE,
  archive_id text NOT NULL
    CONSTRAINT fk_agent_archives_archive_id REFERENCES archives (id) ON DELETE CASCADE,
  attached_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_agent_archives PRIMARY KEY (agent_id, archive_id)
);
CREATE INDEX ix_agent_archives_archive_id ON agent_archives (archive_id);
CREATE TABLE passage_vectors (
  passage_id text NOT NULL
    CONSTRAINT fk_passage_vectors_passage_id REFERENCES passages (id) ON DELETE CASCADE,
  model text NOT NULL,
  archive_id text NOT NULL,
  dimensions integer NOT NULL,
  embedding vector NOT NULL,
  tags text[] NOT NULL,
  created_at timestamptz NOT NULL,
  CONSTRAINT pk_passage_vectors PRIMARY KEY (passage_id, model)
);
CREATE INDEX ix_passage_vectors_archive_model
  ON passage_vectors (archive_id, model, created_at);
CREATE INDEX ix_passage_vectors_tags ON passage_vectors USING gin (tags);
"""

_MOVE = """
INSERT INTO archives (id, name, embedding, dimensions, owner_id)
  SELECT 'archive-' || gen_random_uuid(), name, 'o/hash', 256, id FROM agents
  WHERE EXISTS (SELECT 1 FROM passages WHERE passages.agent_id = agents.id);
INSERT INTO agent_archives (agent_id, archive_id)
  SELECT owner_id, id FROM archives WHERE owner_id IS NOT NULL;
ALTER TABLE passages
  ADD COLUMN archive_id text
    CONSTRAINT fk_passages_archive_id REFERENCES archives (id) ON DELETE CASCADE,
  ADD COLUMN unembedded boolean NOT NULL DEFAULT false;
UPDATE passages SET archive_id = archives.id FROM archives WHERE owner_id = passages.agent_id;
INSERT INTO passage_vectors (
    passage_id, model, archive_id, dimensions, embedding, tags, created_at)
  SELECT id, 'o/hash', archive_id, 256, embedding, tags, created_at FROM passages;
DROP INDEX ix_passages_agent_created, ix_passages_embedding;
ALTER TABLE passages
  ALTER COLUMN archive_id SET NOT NULL, DROP COLUMN agent_id, DROP COLUMN embedding;
CREATE INDEX ix_passages_archive_created ON passages (archive_id, created_at, id);
CREATE INDEX ix_passages_archive_id_id ON passages (archive_id, id);
CREATE INDEX ix_passages_words ON passages USING gin (words);
CREATE INDEX ix_passages_unembedded ON passages (id) WHERE unembedded;
"""

_BACK = """
ALTER TABLE passages
  ADD COLUMN agent_id text CONSTRAINT fk_passages_agent_id REFERENCES agents (id) ON DELETE CASCADE,
  ADD COLUMN embedding vector(256);
UPDATE passages SET agent_id = holder.agent_id FROM (
  SELECT DISTINCT ON (archive_id) archive_id, agent_id FROM agent_archives
  ORDER BY archive_id, attached_at, agent_id
) AS holder WHERE holder.archive_id = passages.archive_id;
UPDATE passages SET embedding = v.embedding FROM passage_vectors v
  WHERE v.passage_id = passages.id AND v.model = 'o/hash';
DELETE FROM passages WHERE agent_id IS NULL OR embedding IS NULL;
DROP INDEX ix_passages_archive_created, ix_passages_archive_id_id, ix_passages_words,
  ix_passages_unembedded;
DROP TABLE passage_vectors;
ALTER TABLE passages
  ALTER COLUMN agent_id SET NOT NULL, ALTER COLUMN embedding SET NOT NULL,
  DROP COLUMN archive_id, DROP COLUMN unembedded;
DROP TABLE agent_archives;
DROP TABLE archives;
CREATE INDEX ix_passages_agent_created ON passages (agent_id, created_at);
CREATE INDEX ix_passages_embedding ON passages USING hnsw (embedding vector_cosine_ops);
"""


def upgrade() -> None:
    op.execute(_ARCHIVES)
    op.execute(_MOVE)
    for dimensions in (256, 384, 768, 1024, 1536, 3072):
        kind = "vector" if dimensions <= 2000 else "halfvec"
        op.execute(
            f"CREATE INDEX ix_passage_vectors_hnsw_{dimensions} ON passage_vectors USING hnsw "
            f"((embedding::{kind}({dimensions})) {kind}_cosine_ops) "
            f"WHERE dimensions = {dimensions}"
        )


def downgrade() -> None:
    """Passages of archives that no agent holds, or without a vector of `o/hash`, are lost."""
    op.execute(_BACK)
