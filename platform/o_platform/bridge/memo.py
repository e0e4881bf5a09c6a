"""What the attempts of one turn already got: LLM replies and tool results by kind and number.

A turn that is run again asks the same questions and gets the same answers, without paying twice. An
entry answers only the very request it was made for (`digest`), because another variant may ask
something else.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, Literal, TypeVar

import msgspec

from o_contracts.bridge import Start
from o_contracts.llm import LlmRequest
from o_platform.agents.past_runs import JournalRow

Kind = Literal["llm", "tool", "host"]
T = TypeVar("T")
_START: Final[tuple[Kind, int, str]] = ("host", -1, "start")

_encoder = msgspec.msgpack.Encoder()


class Memo:
    """Results of one turn, across its attempts."""

    __slots__ = ("_done", "_running", "_unwritten")

    def __init__(self, rows: Iterable[JournalRow] = ()) -> None:
        """Start with what the journal holds."""
        self._done: dict[tuple[str, int], tuple[str, bytes]] = {}
        self._running: dict[tuple[str, int], tuple[str, asyncio.Future[None]]] = {}
        self._unwritten: JournalRow | None = None
        for row in rows:
            self._done[row.kind, row.seq] = (row.digest, row.result)

    def __bool__(self) -> bool:
        """Whether there is anything worth keeping."""
        return bool(self._done or self._running)

    def result(self, kind: Kind, seq: int, digest: str, shape: type[T]) -> T | None:
        """The result of this very request, if it is known."""
        entry = self._done.get((kind, seq))
        if entry is None or entry[0] != digest:
            return None
        return msgspec.msgpack.decode(entry[1], type=shape)

    def running(self, kind: Kind, seq: int, digest: str) -> asyncio.Future[None] | None:
        """Done when the same request, asked by an earlier attempt, has its result or failed."""
        entry = self._running.get((kind, seq))
        return entry[1] if entry is not None and entry[0] == digest else None

    def begin(self, kind: Kind, seq: int, digest: str) -> asyncio.Future[None]:
        """Note that the request is being answered; the caller completes the future in the end."""
        future = asyncio.get_running_loop().create_future()
        mine = self._running[kind, seq] = (digest, future)

        def over(_: asyncio.Future[None]) -> None:
            if self._running.get((kind, seq)) is mine:  # not what another attempt asks since
                del self._running[kind, seq]

        future.add_done_callback(over)
        return future

    def keep(self, kind: Kind, seq: int, digest: str, result: object) -> JournalRow:
        """Remember a result; returns it as a row for the journal."""
        encoded = _encoder.encode(result)
        self._done[kind, seq] = (digest, encoded)
        return JournalRow(kind, seq, digest, encoded)

    def start(self) -> Start:
        """Chance and time of the turn's tools, made when the first of them asks.

        Worth keeping only if something outside depends on it; see `unwritten`.
        """
        known = self.result(*_START, Start)
        if known is None:
            known = Start(os.urandom(16).hex(), time.time_ns())
            self._unwritten = self.keep(*_START, known)
        return known

    def unwritten(self) -> list[JournalRow]:
        """Rows that go to the journal with the next one; asked for once."""
        row, self._unwritten = self._unwritten, None
        return [] if row is None else [row]


def digest_llm(request: LlmRequest) -> str:
    """Names what is asked of the model, whoever asks and whether it is streamed."""
    return _digest((request.model, request.messages, request.tools, request.settings))


def digest_tool(name: str, arguments: str) -> str:
    """Names a tool call."""
    return _digest((name, arguments))


def _digest(value: object) -> str:
    return blake2b(_encoder.encode(value), digest_size=16).hexdigest()
