"""The meaning of an instance's frames: the operations of `o_contracts.bridge`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from o_contracts.bridge import (
    CONTEXT_READ,
    HELLO,
    HOST_CALL,
    LLM_COMPLETE,
    TOKENS_COUNT,
    TOOL_CALL,
    TURN_ABANDON,
    TURN_COMMIT,
    TURN_OPEN,
    TURN_PUBLISH,
    TURN_WATCH,
    ContextRead,
    Hello,
    HostCallRequest,
    TokensCount,
    ToolCallRequest,
    TurnAbandon,
    TurnCommit,
    TurnOpen,
    TurnPublish,
    TurnWatch,
    Welcome,
)
from o_contracts.frames import PROTOCOL_VERSIONS, FrameError
from o_platform.bridge.connection import Connection
from o_platform.bridge.host_calls import HostCalls
from o_platform.bridge.model_requests import ModelRequests
from o_platform.bridge.models import Models
from o_platform.bridge.service import TurnService
from o_platform.bridge.tools import Tools
from o_platform.bridge.turn import Caller, Opening, cancelled
from o_platform.errors import BadInputError

_hellos: Final = msgspec.msgpack.Decoder(Hello)
_opens: Final = msgspec.msgpack.Decoder(TurnOpen)
_tool_calls: Final = msgspec.msgpack.Decoder(ToolCallRequest)
_host_calls: Final = msgspec.msgpack.Decoder(HostCallRequest)
_commits: Final = msgspec.msgpack.Decoder(TurnCommit)
_abandons: Final = msgspec.msgpack.Decoder(TurnAbandon)
_publications: Final = msgspec.msgpack.Decoder(TurnPublish)
_counts: Final = msgspec.msgpack.Decoder(TokensCount)
_reads: Final = msgspec.msgpack.Decoder(ContextRead)
_watches: Final = msgspec.msgpack.Decoder(TurnWatch)


class VersionError(BadInputError):
    """The peer speaks no version of the protocol that we do."""

    code = "protocol_version"
    status = 426


class Socket(Protocol):
    """The listening socket that a connection came in by; it says who is calling."""

    @property
    def caller(self) -> Caller:
        """The instance, as the database describes it now."""
        ...

    @property
    def service(self) -> TurnService:
        """The turns of this instance's space."""
        ...

    def attach(self, connection: Connection) -> None:
        """A connection came in."""
        ...

    def detach(self, connection: Connection) -> None:
        """A connection is gone."""
        ...

    def malformed(self, reason: str) -> None:
        """The instance broke the protocol."""
        ...


class InstanceSession:
    """One connection of an instance."""

    def __init__(
        self,
        connection: Connection,
        socket: Socket,
        models: Models,
        tools: Tools,
        hosts: HostCalls,
        max_request_bytes: int,
    ) -> None:
        """`max_request_bytes` is the largest request body that the instance may accept."""
        self._connection = connection
        self._socket = socket
        self._service = socket.service
        self._models = models
        self._tools = tools
        self._hosts = hosts
        self._max_request_bytes = max_request_bytes
        self._requests = ModelRequests()
        self._operations: dict[str, Callable[[int, msgspec.Raw], None]] = {HELLO: self._hello}
        socket.attach(connection)

    def request(self, op: str, exchange: int, body: msgspec.Raw) -> None:
        """Carry out an operation."""
        operation = self._operations.get(op)
        if operation is None:
            raise FrameError(f"operation {op!r} is unknown, or not allowed before hello")
        operation(exchange, body)

    def cancelled(self, exchange: int) -> None:
        """Stop what was asked for in this exchange, as far as it can be stopped."""
        self._models.cancel(self._connection, exchange)
        self._service.cancel(self._connection, exchange)

    def malformed(self, reason: str) -> None:
        """Count it against the instance."""
        self._socket.malformed(reason)

    def closed(self) -> None:
        """Give up what this connection ran."""
        self._service.closed(self._connection)
        self._socket.detach(self._connection)

    def _hello(self, exchange: int, body: msgspec.Raw) -> None:
        caller = self._socket.caller
        version = agreed_version(_hellos.decode(body))
        if version is None:
            self._connection.fail(exchange, HELLO, refused_version())
            self._connection.close()
            return
        self._operations = {
            TURN_OPEN: self._open,
            LLM_COMPLETE: self._complete,
            TOOL_CALL: self._call,
            HOST_CALL: self._host_call,
            TURN_PUBLISH: self._publish,
            TOKENS_COUNT: self._count,
            CONTEXT_READ: self._read,
            TURN_COMMIT: self._commit,
            TURN_ABANDON: self._abandon,
            TURN_WATCH: self._watch,
        }
        welcome = Welcome(
            version, caller.instance_id, caller.role, caller.variant, self._max_request_bytes
        )
        self._connection.reply(exchange, HELLO, welcome)

    def _open(self, exchange: int, body: msgspec.Raw) -> None:
        request = _opens.decode(body)
        self._service.open(Opening(self._connection, exchange, request, self._socket.caller))

    def _complete(self, exchange: int, body: msgspec.Raw) -> None:
        request = self._requests.decode(body)
        turn = self._service.running(request.token, self._connection)
        if turn is None:
            fenced = self._service.fenced(request.run_id)
            self._connection.fail(exchange, LLM_COMPLETE, fenced)
        elif turn.is_cancelled:
            self._connection.fail(exchange, LLM_COMPLETE, cancelled(turn))
        else:
            self._models.complete(turn, self._connection, exchange, request)

    def _call(self, exchange: int, body: msgspec.Raw) -> None:
        request = _tool_calls.decode(body)
        service = self._service
        turn = service.running(request.token, self._connection)
        if turn is None:
            self._connection.fail(exchange, TOOL_CALL, service.fenced(request.run_id))
        elif turn.is_cancelled:
            self._connection.fail(exchange, TOOL_CALL, cancelled(turn))
        else:
            self._tools.call(turn, service.records, self._connection, exchange, request)

    def _host_call(self, exchange: int, body: msgspec.Raw) -> None:
        request = _host_calls.decode(body)
        service = self._service
        turn = service.running(request.token, self._connection)
        if turn is None:
            self._connection.fail(exchange, HOST_CALL, service.fenced(request.run_id))
        else:
            self._hosts.call(turn, service.records, self._connection, exchange, request)

    def _count(self, exchange: int, body: msgspec.Raw) -> None:
        request = _counts.decode(body)
        self._models.answer_soon(
            self._connection, exchange, TOKENS_COUNT, self._models.count(request)
        )

    def _read(self, exchange: int, body: msgspec.Raw) -> None:
        read = self._service.records.read(_reads.decode(body), self._socket.caller)
        self._models.answer_soon(self._connection, exchange, CONTEXT_READ, read)

    def _publish(self, exchange: int, body: msgspec.Raw) -> None:
        self._service.publish(self._connection, exchange, _publications.decode(body))

    def _commit(self, exchange: int, body: msgspec.Raw) -> None:
        self._service.commit(self._connection, exchange, _commits.decode(body))

    def _watch(self, exchange: int, body: msgspec.Raw) -> None:
        request = _watches.decode(body)
        turn = self._service.running(request.token, self._connection)
        if turn is None:
            self._connection.fail(exchange, TURN_WATCH, self._service.fenced(request.run_id))
        elif turn.is_cancelled:
            self._connection.fail(exchange, TURN_WATCH, cancelled(turn))
        else:
            turn.stop_with(exchange, partial(self._connection.fail, exchange, TURN_WATCH))

    def _abandon(self, exchange: int, body: msgspec.Raw) -> None:
        self._service.abandon(self._connection, exchange, _abandons.decode(body))


def agreed_version(hello: Hello) -> int | None:
    """The newest version that both speak."""
    return max(set(hello.versions) & set(PROTOCOL_VERSIONS), default=None)


def refused_version() -> VersionError:
    """The answer to a peer that speaks no version of ours."""
    ours = ", ".join(map(str, PROTOCOL_VERSIONS))
    return VersionError(f"the bridge speaks version {ours} of the protocol, and nothing else")
