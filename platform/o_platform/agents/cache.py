"""Telling the bridge to forget what it caches of an agent, before its client is answered.

One connection to the bridge's control socket is kept and made anew when it broke. A bridge that is
down or slow never fails a change: its cache dies with it, and the announcement that PostgreSQL sent
on commit reaches it in any case; waiting only makes the next turn read the change for certain.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from o_contracts.bridge import HELLO, Hello
from o_contracts.control import CACHE_DROP, KEYS_RELOAD, CacheDrop
from o_contracts.frames import (
    PROTOCOL_VERSIONS,
    Empty,
    Frame,
    FrameDecoder,
    FrameError,
    Kind,
    encode_frame,
)

DROP_TIMEOUT_S: Final = 0.2
"""Longest wait for the bridge, connecting included."""

_READ_BYTES: Final = 64 * 1024
_log = logging.getLogger(__name__)


class ContextCache(Protocol):
    """Whoever keeps agents' compiled contexts."""

    async def drop(self, agent_ids: Sequence[str]) -> None:
        """Forget these agents; never raises because the cache is gone."""
        ...


class BridgeCache:
    """The bridge's cache, reached over its control socket."""

    def __init__(self, path: Path, *, timeout_s: float = DROP_TIMEOUT_S) -> None:
        """`path` is the bridge's control socket; nothing connects yet."""
        self._path = path
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._link: Link | None = None

    async def drop(self, agent_ids: Sequence[str]) -> None:
        """Forget these agents; returns once the bridge has, or after the timeout."""
        if not agent_ids:
            return
        try:
            async with asyncio.timeout(self._timeout_s), self._lock:
                await self._send(CACHE_DROP, CacheDrop(list(agent_ids)))
        except TimeoutError:
            _log.warning("the bridge did not drop its cache in time", extra={"agents": agent_ids})
        except (OSError, FrameError) as error:
            _log.info("no bridge to drop a cache", extra={"reason": str(error)})

    async def reload_keys(self) -> None:
        """Have the bridge read the encryption keys anew; if it is down, it will when it starts."""
        try:
            async with asyncio.timeout(self._timeout_s), self._lock:
                await self._send(KEYS_RELOAD, Empty())
        except (OSError, FrameError, TimeoutError) as error:
            _log.info("no bridge to reload keys", extra={"reason": str(error)})

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            self._disconnect()

    async def _send(self, op: str, body: object) -> None:
        if self._link is not None:
            try:
                return await self._ask(self._link, op, body)
            except (OSError, FrameError):
                _log.debug("the bridge was restarted; connecting again")
        self._link = await self._connect()
        await self._ask(self._link, op, body)

    async def _connect(self) -> Link:
        return await Link.connect(self._path)

    async def _ask(self, link: Link, op: str, body: object) -> None:
        try:
            reply = await link.ask(op, body)
        except BaseException:
            # An abandoned exchange would answer the next one: the connection is of no more use.
            link.close()
            self._link = None
            raise
        if reply.kind != Kind.REPLY:
            raise FrameError(f"the bridge refused {op}")

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class Link:
    """One connection to the bridge's control socket, one exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Made by `connect`."""
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder()
        self._exchange = 0

    @classmethod
    async def connect(cls, path: Path) -> Link:
        """Connect and say hello.

        Raises:
            OSError: nobody listens there.
            FrameError: the bridge refused.
        """
        link = cls(*await asyncio.open_unix_connection(str(path)))
        try:
            reply = await link.ask(HELLO, Hello(list(PROTOCOL_VERSIONS), "", os.getpid()))
            if reply.kind != Kind.REPLY:
                raise FrameError(f"the bridge refused {HELLO}")
        except BaseException:
            link.close()
            raise
        return link

    async def ask(self, op: str, body: object) -> Frame:
        """The answer to a request.

        Raises:
            ConnectionResetError: the bridge closed the connection.
            FrameError: what it sent is no frame.
        """
        self._exchange += 1
        self._writer.write(encode_frame(Kind.REQUEST, self._exchange, op, body))
        await self._writer.drain()
        while True:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise ConnectionResetError("the bridge closed its control socket")
            for frame in self._decoder.feed(data):
                if frame.id == self._exchange:
                    return frame

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
