"""Models made of rows that a statement answers with as JSON (`row_to_json`).

They belong to no session: they are to be read, and what is sealed in them is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import DateTime, inspect

from o_platform.db.models import Base
from o_platform.db.sealed_columns import SEALED
from o_platform.db.sealing import Vault

M = TypeVar("M", bound=Base)


class Detached(Generic[M]):
    """Makes models of one kind."""

    def __init__(self, model: type[M]) -> None:
        """Reads from the model what its columns are."""
        mapper = inspect(model)
        self._new = mapper.class_manager.new_instance
        properties = [(name, of.columns[0]) for name, of in mapper.column_attrs.items()]
        self._names = [(name, column.name) for name, column in properties]
        self._times = [name for name, column in properties if isinstance(column.type, DateTime)]
        self._sealed = [sealed for sealed in SEALED if sealed.model is model]

    def __call__(self, vault: Vault, row: Mapping[str, Any]) -> M:
        """The model of a row.

        Raises:
            SealedValueError, EncryptionKeyError: what is sealed in it cannot be opened.
        """
        values = {name: row[column] for name, column in self._names if column in row}
        for name in self._times:
            if values.get(name) is not None:
                values[name] = datetime.fromisoformat(values[name])
        for sealed in self._sealed:
            place = (values[name] for name in sealed.row)
            values[sealed.column] = sealed.opened(vault, values[sealed.column], *place)
        made = self._new()
        made.__dict__.update(values)
        return cast(M, made)
