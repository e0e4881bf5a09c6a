"""Runs migrations on the URL that `o_platform.db.migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, text

from o_platform.db.models import Base


def _run() -> None:
    engine = create_engine(context.config.attributes["url"])
    try:
        with engine.connect() as connection:
            connection.execute(text("SET lock_timeout = '5s'"))
            connection.execute(text("SET search_path = public"))
            connection.commit()
            context.configure(
                connection=connection, target_metadata=Base.metadata, compare_type=True,
                include_name=lambda name, kind, _: kind != "schema" or name in (None, "public"),
            )  # fmt: skip
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


_run()
