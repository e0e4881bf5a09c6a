"""The bridge's control socket (`o_contracts.control`), for the control plane and the supervisor."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

import msgspec

from o_contracts.bridge import HELLO, Hello
from o_contracts.control import (
    CACHE_DROP,
    KEYS_RELOAD,
    STATS,
    TURNS_CANCEL,
    TURNS_LIST,
    CacheDrop,
    ControlWelcome,
    RunningTurns,
    TurnsCancel,
    TurnsCancelled,
)
from o_contracts.frames import FrameError
from o_platform.bridge.connection import Connection
from o_platform.bridge.contexts import ContextCache
from o_platform.bridge.counters import Counters
from o_platform.bridge.service import TurnService
from o_platform.bridge.sessions import agreed_version, refused_version
from o_platform.db.sealing import Vault

_hellos: Final = msgspec.msgpack.Decoder(Hello)
_drops: Final = msgspec.msgpack.Decoder(CacheDrop)
_cancels: Final = msgspec.msgpack.Decoder(TurnsCancel)
_log = logging.getLogger(__name__)


class ControlSession:
    """One connection to the control socket."""

    def __init__(
        self,
        connection: Connection,
        cache: ContextCache,
        counters: Counters,
        turns: TurnService,
        vault: Vault,
    ) -> None:
        """`cache` is what `cache.drop` drops from, `turns` those of the stable and canary role."""
        self._turns = turns
        self._connection = connection
        self._cache = cache
        self._counters = counters
        self._vault = vault
        self._operations: dict[str, Callable[[int, msgspec.Raw], None]] = {HELLO: self._hello}

    def request(self, op: str, exchange: int, body: msgspec.Raw) -> None:
        """Carry out an operation."""
        operation = self._operations.get(op)
        if operation is None:
            raise FrameError(f"operation {op!r} is unknown, or not allowed before hello")
        operation(exchange, body)

    def cancelled(self, exchange: int) -> None:
        """Nothing here takes time."""

    def malformed(self, reason: str) -> None:
        """Log it: the caller is a part of the platform."""
        _log.error("malformed frame on the control socket: %s", reason)

    def closed(self) -> None:
        """Nothing to clean up."""

    def _hello(self, exchange: int, body: msgspec.Raw) -> None:
        version = agreed_version(_hellos.decode(body))
        if version is None:
            self._connection.fail(exchange, HELLO, refused_version())
            self._connection.close()
            return
        self._operations = {
            CACHE_DROP: self._drop,
            KEYS_RELOAD: self._reload_keys,
            STATS: self._stats,
            TURNS_CANCEL: self._cancel,
            TURNS_LIST: self._list,
        }
        self._connection.reply(exchange, HELLO, ControlWelcome(version, os.getpid()))

    def _drop(self, exchange: int, body: msgspec.Raw) -> None:
        self._cache.drop(_drops.decode(body).agent_ids)
        self._connection.reply(exchange, CACHE_DROP)

    def _cancel(self, exchange: int, body: msgspec.Raw) -> None:
        request = _cancels.decode(body)
        run_ids = self._turns.cancel_turns(request.agent_id, request.run_ids)
        self._connection.reply(exchange, TURNS_CANCEL, TurnsCancelled(run_ids))

    def _list(self, exchange: int, body: msgspec.Raw) -> None:
        self._connection.reply(exchange, TURNS_LIST, RunningTurns(self._turns.listed()))

    def _reload_keys(self, exchange: int, body: msgspec.Raw) -> None:
        self._vault.reload()
        self._connection.reply(exchange, KEYS_RELOAD)

    def _stats(self, exchange: int, body: msgspec.Raw) -> None:
        self._connection.reply(exchange, STATS, self._counters.snapshot())
