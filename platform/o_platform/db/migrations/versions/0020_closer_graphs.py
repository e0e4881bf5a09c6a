"""Approximate indexes whose vectors were tied with more candidates, all in half precision.

Of archives those of few vectors are built anew here, in seconds. Larger ones are dropped: the job
that looks after embeddings builds them without locking anything, and until then searches compare
all vectors. Those of messages keep what they hold, however they were tied, and tie better what
joins; `REINDEX INDEX CONCURRENTLY` ties everything anew.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_DIMENSIONS = (256, 384, 768, 1024, 1536, 3072)
_OPTIONS = "m = 16, ef_construction = 200"
_FEW = 20_000
"""Vectors that are indexed in less than half a minute."""
_DROP = """
DO $$
DECLARE name text;
BEGIN
  FOR name IN
    SELECT c.oid::regclass FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'passage_vectors'::regclass AND c.relname LIKE 'ix_passage_vectors_hnsw_%'
  LOOP
    EXECUTE 'DROP INDEX ' || name;
  END LOOP;
END $$
"""
_MANY = f"SELECT dimensions FROM passage_vectors GROUP BY dimensions HAVING count(*) > {_FEW}"  # noqa: S608


def upgrade() -> None:
    many = {dimensions for (dimensions,) in op.get_bind().exec_driver_sql(_MANY)}
    op.execute("SET LOCAL maintenance_work_mem = '256MB'")
    _by_one_process()
    op.execute(_DROP)
    for dimensions in _DIMENSIONS:
        if dimensions not in many:
            _build(dimensions, "halfvec", f"WITH ({_OPTIONS})")
        op.execute(f"ALTER INDEX ix_message_index_hnsw_{dimensions} SET ({_OPTIONS})")


def downgrade() -> None:
    """Takes as long as indexing all vectors does."""
    _by_one_process()
    op.execute(_DROP)
    for dimensions in _DIMENSIONS:
        _build(dimensions, "vector" if dimensions <= 2000 else "halfvec", "")
        op.execute(f"ALTER INDEX ix_message_index_hnsw_{dimensions} RESET (m, ef_construction)")


def _by_one_process() -> None:
    """Several share their memory, of which a container often has no more than 64 MB."""
    op.execute("SET LOCAL max_parallel_maintenance_workers = 0")


def _build(dimensions: int, kind: str, options: str) -> None:
    op.execute(
        f"CREATE INDEX ix_passage_vectors_hnsw_{dimensions} ON passage_vectors USING hnsw "
        f"((embedding::{kind}({dimensions})) {kind}_cosine_ops) {options} "
        f"WHERE dimensions = {dimensions}"
    )
