"""One listening socket per instance, kept in step with the table `instances`.

Who calls is known by the socket a connection came in by, so the rows decide role and variant. An
instance that is not wanted any more gets no new connections; those it has end with its container.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from o_platform.bridge.connection import Connection, Session
from o_platform.bridge.holdings import MAX_CONNECTIONS
from o_platform.bridge.repository import InstanceRow
from o_platform.bridge.service import TurnService
from o_platform.bridge.turn import Caller

FOLDER_MODE: Final = 0o711
"""Whoever knows a socket's path may reach it; nobody may list."""
SOCKET_MODE: Final = 0o666
"""Instances run as users of their own; the path says which one it is."""
BACKLOG: Final = 512

_log = logging.getLogger(__name__)


class InstanceSocket:
    """The socket of one instance and its connections."""

    def __init__(
        self,
        path: Path,
        caller: Caller,
        service: TurnService,
        on_malformed: Callable[[Caller, str], None],
    ) -> None:
        """`service` runs the turns of this instance's space."""
        self.path = path
        self.caller = caller
        self.service = service
        self._on_malformed = on_malformed
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    @property
    def is_listening(self) -> bool:
        """Whether new connections may come in."""
        return self._server is not None

    async def listen(self, make_session: Callable[[Connection, InstanceSocket], Session]) -> None:
        """Accept connections from now on."""
        for folder in (self.path.parents[1], self.path.parent):
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            folder.chmod(FOLDER_MODE)
        self._server = await serve(self.path, lambda: self._accepted(make_session), SOCKET_MODE)

    def stop_listening(self) -> None:
        """Accept no more connections; those that are there stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Accept no more connections, and close those that are there."""
        self.stop_listening()
        for connection in list(self._connections):
            connection.abort()

    def attach(self, connection: Connection) -> None:
        """A connection came in."""
        self._connections.add(connection)

    def detach(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def malformed(self, reason: str) -> None:
        """The instance broke the protocol."""
        self._on_malformed(self.caller, reason)

    def _accepted(
        self, make_session: Callable[[Connection, InstanceSocket], Session]
    ) -> asyncio.BaseProtocol:
        if len(self._connections) < MAX_CONNECTIONS:
            return Connection(lambda own: make_session(own, self))
        self.malformed(f"more than {MAX_CONNECTIONS} connections at once")
        return _Unwelcome()


class _Unwelcome(asyncio.Protocol):
    """A connection too many: it is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Listeners:
    """All instances' sockets."""

    def __init__(
        self,
        root: Path,
        service_of: Callable[[Caller], TurnService],
        make_session: Callable[[Connection, InstanceSocket], Session],
        on_malformed: Callable[[Caller, str], None],
    ) -> None:
        """`root` holds one folder per instance; `service_of` gives a caller its space."""
        self._root = root
        self._service_of = service_of
        self._make_session = make_session
        self._on_malformed = on_malformed
        self._sockets: dict[str, InstanceSocket] = {}

    async def reconcile(self, rows: Iterable[InstanceRow]) -> bool:
        """Open, change and close sockets so that they are what the rows say; whether all are."""
        complete = True
        present = {row.caller.instance_id: row for row in rows}
        for instance_id in self._sockets.keys() - present.keys():
            self._sockets.pop(instance_id).close()
        for instance_id, row in present.items():
            try:
                await self._adapt(instance_id, row)
            except OSError as error:
                complete = False
                extra = {"instance_id": instance_id}
                _log.warning("the instance has no socket yet: %s", error, extra=extra)
        return complete

    def close(self) -> None:
        """Close every socket and connection."""
        for instance in self._sockets.values():
            instance.close()
        self._sockets.clear()

    async def _adapt(self, instance_id: str, row: InstanceRow) -> None:
        instance = self._sockets.get(instance_id)
        if instance is not None and _space(instance.caller) != _space(row.caller):
            # Another role reads and writes elsewhere: its workers must connect anew.
            instance.close()
            del self._sockets[instance_id]
            instance = None
        if instance is None:
            if not row.wanted:
                return
            path = self._root / instance_id / "out" / "bridge.sock"
            service = self._service_of(row.caller)
            instance = InstanceSocket(path, row.caller, service, self._on_malformed)
            self._sockets[instance_id] = instance
        instance.caller = row.caller
        if not row.wanted:
            instance.stop_listening()
        elif not instance.is_listening:
            await instance.listen(self._make_session)


async def serve(
    path: Path, make_protocol: Callable[[], asyncio.BaseProtocol], mode: int
) -> asyncio.Server:
    """Listen on a Unix socket; one that a killed predecessor left is replaced."""
    listening = _bound(path, mode)
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(make_protocol, sock=listening, backlog=BACKLOG)


def _bound(path: Path, mode: int) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(mode)
    return listening


def _space(caller: Caller) -> str:
    return "durable" if caller.is_durable else caller.role
