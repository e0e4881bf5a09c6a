"""An encryption key for tests, the vault that has it, and sealed rows made readable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from o_platform.db.keys import KeySource, key_file, open_vault
from o_platform.db.sealed_columns import SEALED
from o_platform.db.sealing import SealedValueError, Vault, is_sealed

TEST_KEY: Final = "dGhlIGVuY3J5cHRpb24ga2V5IG9mIGFsbCB0ZXN0cyE="
"""As `O_ENCRYPTION_KEY` has it; processes that tests start get it by that variable."""


def vault_of_tests() -> Vault:
    """A vault with the key of tests."""
    return open_vault(KeySource(key_file(Path()), TEST_KEY))


def revealed(
    connection: psycopg.Connection[Any], rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Rows of a query with their sealed values opened, whichever rows of the database they are of.

    Tries every row of every sealed column: for databases of tests, which are small.
    """
    if not any(_is_sealed(value) for row in rows for value in row):
        return list(rows)
    names = [(sealed, row) for sealed in SEALED for row in _row_names(connection, sealed)]
    vault = vault_of_tests()

    def opened(value: Any) -> Any:
        if not _is_sealed(value):
            return value
        for sealed, name in names:
            try:
                return sealed.opened(vault, value, *name)
            except SealedValueError:
                continue
        raise LookupError(f"{value} is of no row of this database")

    return [tuple(opened(value) for value in row) for row in rows]


def _row_names(connection: psycopg.Connection[Any], sealed: Any) -> list[tuple[Any, ...]]:
    columns = sql.SQL(", ").join(map(sql.Identifier, sealed.row))
    query = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(sealed.table))
    return connection.execute(query).fetchall()


def _is_sealed(value: Any) -> bool:
    return isinstance(value, str) and is_sealed(value)
