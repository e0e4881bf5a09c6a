"""The short way to see that there is nothing to migrate agrees with Alembic."""

from __future__ import annotations

import psycopg
import pytest
from alembic.script import ScriptDirectory

from o_platform.cli.migrations import is_current, main, newest_revisions
from o_platform.db.migrate import alembic_config

pytestmark = pytest.mark.integration


def test_the_newest_revision_is_alembics_head() -> None:
    scripts = ScriptDirectory.from_config(alembic_config("postgresql://o@/o"))
    assert newest_revisions() == set(scripts.get_heads())


def test_a_database_is_current_only_at_the_head(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_current(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM alembic_version")
    assert not is_current(database_url)
    assert not is_current(database_url.replace("/t_", "/missing_"))
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main() == 0
    assert is_current(database_url)
