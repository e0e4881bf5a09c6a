"""Folders of documents, their texts, and what agents have open of them.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_FOLDERS = """
CREATE TABLE folders (
  id text CONSTRAINT pk_folders PRIMARY KEY,
  name text NOT NULL CONSTRAINT uq_folders_name UNIQUE,
  description text,
  instructions text,
  chunk_size integer NOT NULL,
  metadata jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_folders_created ON folders (created_at, id);
CREATE TABLE files (
  id text CONSTRAINT pk_files PRIMARY KEY,
  folder_id text NOT NULL
    CONSTRAINT fk_files_folder_id REFERENCES folders (id) ON DELETE CASCADE,
  name text NOT NULL,
  original_name text NOT NULL,
  media_type text NOT NULL,
  size_bytes bigint NOT NULL,
  status text NOT NULL,
  error text,
  data bytea,
  content text,
  lines integer NOT NULL DEFAULT 0,
  chunks integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT uq_files_folder_id_name UNIQUE (folder_id, name)
);
CREATE INDEX ix_files_folder_created ON files (folder_id, created_at, id);
CREATE INDEX ix_files_pending ON files (created_at) WHERE status = 'pending';
CREATE TABLE agent_folders (
  agent_id text NOT NULL
    CONSTRAINT fk_agent_folders_agent_id REFERENCES agents (id) ON DELETE CASCADE,
  folder_id text NOT NULL
    CONSTRAINT fk_agent_folders_folder_id REFERENCES folders (id) ON DELETE CASCADE,
  attached_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_agent_folders PRIMARY KEY (agent_id, folder_id)
);
CREATE INDEX ix_agent_folders_folder_id ON agent_folders (folder_id);
CREATE TABLE open_files (
  agent_id text NOT NULL
    CONSTRAINT fk_open_files_agent_id REFERENCES agents (id) ON DELETE CASCADE,
  file_id text NOT NULL
    CONSTRAINT fk_open_files_file_id REFERENCES files (id) ON DELETE CASCADE,
  first_line integer NOT NULL DEFAULT 0,
  last_line integer,
  opened_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pk_open_files PRIMARY KEY (agent_id, file_id)
);
CREATE INDEX ix_open_files_file_id ON open_files (file_id);
ALTER TABLE archives ADD COLUMN folder_id text
  CONSTRAINT fk_archives_folder_id REFERENCES folders (id) ON DELETE CASCADE;
CREATE UNIQUE INDEX uq_archives_folder_id ON archives (folder_id);
"""


def upgrade() -> None:
    op.execute(_FOLDERS)


def downgrade() -> None:
    op.execute("DELETE FROM archives WHERE folder_id IS NOT NULL")
    op.execute("ALTER TABLE archives DROP COLUMN folder_id")
    op.execute("DROP TABLE open_files, agent_folders, files, folders")
