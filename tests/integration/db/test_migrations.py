"""The migrations and the models are one schema, and every migration goes down again."""

from __future__ import annotations

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from o_platform.db.migrate import alembic_config, pending, upgrade

pytestmark = pytest.mark.integration


def test_there_is_a_single_head(database_url: str) -> None:
    script = ScriptDirectory.from_config(alembic_config(database_url))
    assert len(script.get_heads()) == 1


def test_models_and_migrations_agree(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_up_down_up(database_url: str) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, "base")
    with psycopg.connect(database_url) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename <> 'alembic_version'"
        ).fetchone()
    assert left == (0,)
    assert pending(database_url)
    upgrade(database_url)
    assert not pending(database_url)
    command.check(config)
