"""Columns whose values are sealed at rest: models hold plain text, the database never does.

Values are sealed when a row is flushed and opened when it is loaded, with the vault of the session
(`Database`). So whoever works with models notices nothing; whoever reads or writes these columns by
SQL has to seal and open by `place_of` and the vault. A new sealed column needs a line in `SEALED`,
and `resealing` takes it along.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from sqlalchemy import Connection, event, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, QueryContext, Session, object_session
from sqlalchemy.orm.attributes import set_committed_value

from o_platform.db import marks
from o_platform.db.models import (
    AgentSecret,
    BackgroundRun,
    Base,
    Block,
    BlockVersion,
    File,
    McpServer,
    Message,
    Passage,
    RunEvent,
    Schedule,
    StepTrace,
)
from o_platform.db.sealing import Place, Vault, is_sealed, place

VAULT: Final = "vault"
"""Where a session has its vault (`Session.info`)."""
_PLAIN: Final = "_o_plain_"
"""Begins the name under which a row keeps a column's plain value while it is flushed."""


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column, and the columns that name its row. `is_json`: it holds a JSON value.

    `part` names it where its table has another one; `batch`: rows that are sealed anew at once.
    """

    model: type[Base]
    column: str
    row: tuple[str, ...]
    is_json: bool = False
    part: str = ""
    batch: int = 500

    @property
    def table(self) -> str:
        """Name of the table."""
        return str(self.model.__tablename__)

    @property
    def name(self) -> str:
        """Names it among all sealed columns."""
        return f"{self.table} {self.part}".rstrip()

    def place(self, *row: object) -> Place:
        """The place of a value, by its row's name."""
        return place(self.table, "/".join(map(str, row)), self.column)

    def as_stored(self, vault: Vault, value: Any, *row: object) -> str | bytes:
        """A value as it is stored; bytes stay bytes."""
        if isinstance(value, bytes):
            return vault.seal_bytes(value, self.place(*row))
        return self.sealed(vault, value, *row)

    def sealed(self, vault: Vault, value: Any, *row: object) -> str:
        """A text or a JSON value as it is stored."""
        text = msgspec.json.encode(value).decode() if self.is_json else str(value)
        return vault.seal(text, self.place(*row))

    def opened(self, vault: Vault, stored: Any, *row: object) -> Any:
        """A stored value as it was given; what was never sealed is as it is.

        Raises:
            SealedValueError, EncryptionKeyError: it cannot be opened.
        """
        if isinstance(stored, bytes):
            return vault.open_bytes(stored, self.place(*row))
        if not isinstance(stored, str) or not is_sealed(stored):
            return stored
        text = vault.open(stored, self.place(*row))
        return msgspec.json.decode(text) if self.is_json else text


BLOCK_VALUE: Final = SealedColumn(Block, "value", ("id",))
VERSION_VALUE: Final = SealedColumn(BlockVersion, "value", ("block_id", "version"))
MESSAGE_BODY: Final = SealedColumn(Message, "body", ("id",), is_json=True)
PASSAGE_TEXT: Final = SealedColumn(Passage, "text", ("id",))
SECRET_VALUE: Final = SealedColumn(AgentSecret, "value", ("agent_id", "name"))
BACKGROUND_BODY: Final = SealedColumn(BackgroundRun, "body", ("run_id",))
EVENT_DATA: Final = SealedColumn(RunEvent, "data", ("run_id", "seq"))
SCHEDULED_TURN: Final = SealedColumn(Schedule, "turn", ("id",), is_json=True)
SERVER_CONFIG: Final = SealedColumn(McpServer, "config", ("id",), is_json=True)
FILE_CONTENT: Final = SealedColumn(File, "content", ("id",), batch=4)
FILE_DATA: Final = SealedColumn(File, "data", ("id",), part="uploads", batch=4)
TRACE_BODY: Final = SealedColumn(StepTrace, "body", ("step_id",), is_json=True)
SEALED: Final = (
    BLOCK_VALUE, VERSION_VALUE, PASSAGE_TEXT, SECRET_VALUE, SERVER_CONFIG, SCHEDULED_TURN,
    BACKGROUND_BODY, EVENT_DATA, FILE_CONTENT, FILE_DATA, MESSAGE_BODY, TRACE_BODY,
)  # fmt: skip
"""Every sealed column but the journal's, whose rows live for a day at most (`agents.past_runs`)."""


def vault_of(session: AsyncSession) -> Vault:
    """The vault that this session seals and opens with."""
    return cast(Vault, session.info[VAULT])


def _vault(session: Session | None) -> Vault:
    vault = session.info.get(VAULT) if session is not None else None
    if vault is None:
        raise LookupError("a session without a vault reads and writes no sealed columns")
    return cast(Vault, vault)


def _row(sealed: SealedColumn, target: Base) -> Sequence[object]:
    return [target.__dict__[name] for name in sealed.row]


def _open(sealed: SealedColumn, target: Base, session: Session | None) -> None:
    stored = target.__dict__.get(sealed.column)
    if isinstance(stored, bytes) or (isinstance(stored, str) and is_sealed(stored)):
        value = sealed.opened(_vault(session), stored, *_row(sealed, target))
        set_committed_value(target, sealed.column, value)


def _seal(sealed: SealedColumn, target: Base) -> None:
    if not inspect(target).attrs[sealed.column].history.has_changes():
        return
    plain = getattr(target, sealed.column)
    if plain is None:
        return
    setattr(target, _PLAIN + sealed.column, plain)
    vault = _vault(object_session(target))
    setattr(target, sealed.column, sealed.as_stored(vault, plain, *_row(sealed, target)))
    if isinstance(target, Passage):
        target.words = marks.vector(vault, plain)
    elif isinstance(target, Message):
        target.tool = _tool_of(plain)


def _tool_of(body: dict[str, Any]) -> str | None:
    calls = body.get("tool_calls") or [body]
    return cast("str | None", calls[0].get("name"))


def _restore(sealed: SealedColumn, target: Base) -> None:
    kept = _PLAIN + sealed.column
    if kept in target.__dict__:
        set_committed_value(target, sealed.column, target.__dict__.pop(kept))


def _listen(sealed: SealedColumn) -> None:
    def loaded(target: Base, context: QueryContext) -> None:
        _open(sealed, target, context.session)

    def refreshed(
        target: Base, context: QueryContext | None, attrs: Collection[str] | None
    ) -> None:
        # An UPDATE that is carried over to the objects at hand comes without a context.
        if attrs is None or sealed.column in attrs:
            _open(sealed, target, object_session(target))

    def before(mapper: Mapper[Any], connection: Connection, target: Base) -> None:
        _seal(sealed, target)

    def after(mapper: Mapper[Any], connection: Connection, target: Base) -> None:
        _restore(sealed, target)

    event.listen(sealed.model, "load", loaded)
    event.listen(sealed.model, "refresh", refreshed)
    for name in ("before_insert", "before_update"):
        event.listen(sealed.model, name, before)
    for name in ("after_insert", "after_update"):
        event.listen(sealed.model, name, after)


for _column in SEALED:
    _listen(_column)
