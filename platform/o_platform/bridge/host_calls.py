"""Host calls of tools in sandboxes (`host.call`): what a tool was granted, done here.

Only grants of the tool's own row count; tools of the genome have those of `grants.GENOME`, since
permissions are no genes. Effects outside the platform (a fetch, a model's reply) are done by stable
and canary turns alone and kept with the turn: another attempt gets the same answer, and so does a
shadow, which does nothing outside; a bench has nobody to ask. Every call leaves a line in the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from psycopg import AsyncConnection

from o_contracts.bridge import HOST_CALL, START, HostCallRequest, HostCallResult
from o_contracts.llm import LlmMessage, LlmRequest
from o_contracts.messages import Block
from o_platform.agents.past_runs import write_journal
from o_platform.agents.turns import fetch_secrets
from o_platform.bridge.connection import Connection
from o_platform.bridge.counters import Counters
from o_platform.bridge.memo import Kind, Memo, digest_tool
from o_platform.bridge.models import Models
from o_platform.bridge.postgres import Postgres
from o_platform.bridge.records import Records
from o_platform.bridge.tasks import Tasks
from o_platform.bridge.turn import Turn
from o_platform.db.sealing import Vault
from o_platform.errors import OError
from o_platform.tooling.agent_reads import described, read_blocks, text_argument
from o_platform.tooling.fetch import Fetcher, FetchError
from o_platform.tooling.grants import (
    FETCH,
    GENOME,
    SECRET,
    SecretError,
    fetch_policy,
    named,
    placeholder,
)
from o_tools.edits import MemoryRethink
from o_tools.errors import ToolError
from o_tools.queries import ArchivalMemorySearch

MAX_CALLS: Final = 1000
"""Host calls of one turn."""
ORIGINAL_WAIT_S: Final = 5.0
"""How long a shadow waits for what the original turn was answered."""
_LOOK_EVERY_S: Final = 0.02
_DATABASE_WAIT_S: Final = 10.0
_OUTSIDE: Final = frozenset({FETCH, "llm.complete"})
_audit = logging.getLogger("o_platform.bridge.audit")
_log = logging.getLogger(__name__)
T = TypeVar("T")


class HostCalls:
    """Answers `host.call` for running turns."""

    def __init__(
        self,
        tasks: Tasks,
        counters: Counters,
        models: Models,
        postgres: Postgres,
        vault: Vault,
        fetcher: Fetcher,
    ) -> None:
        """`fetcher` makes the requests of tools, `vault` opens their secrets."""
        self._tasks = tasks
        self._counters = counters
        self._models = models
        self._postgres = postgres
        self._vault = vault
        self._fetcher = fetcher

    def call(
        self,
        turn: Turn,
        records: Records,
        connection: Connection,
        exchange: int,
        request: HostCallRequest,
    ) -> None:
        """Answer with what the call came to; never at once."""
        self._counters.host_calls += 1
        work = self._answer(turn, records, connection, exchange, request)
        self._tasks.spawn(work)

    async def _answer(
        self,
        turn: Turn,
        records: Records,
        connection: Connection,
        exchange: int,
        request: HostCallRequest,
    ) -> None:
        turn.calls += 1
        try:
            result = await self._result(turn, records, request)
        except (ToolError, FetchError, SecretError) as error:
            result = HostCallResult("error", error=str(error))
        except OError as error:
            result = HostCallResult("error", error=error.message)
        except Exception:  # noqa: BLE001 — whatever it is, the instance must get an answer
            _log.exception("a host call failed", extra={"run_id": turn.run_id})
            result = HostCallResult("error", error=f"{request.name} failed on the platform")
        finally:
            turn.calls -= 1
        self._note(turn, request, result)
        connection.reply(exchange, HOST_CALL, result)

    def _note(self, turn: Turn, request: HostCallRequest, result: HostCallResult) -> None:
        _audit.info(
            "%s used %s: %s",
            request.tool[:100],
            request.name[:100],
            result.outcome,
            extra={
                "agent_id": turn.agent_id,
                "run_id": turn.run_id,
                "variant": turn.opening.caller.variant,
                "role": turn.opening.caller.role,
                "detail": result.error[:300],
            },
        )

    async def _result(
        self, turn: Turn, records: Records, request: HostCallRequest
    ) -> HostCallResult:
        if request.name == START:
            paid = records.paid(turn)
            start = (turn.memo if paid is None else paid).start()
            return HostCallResult("ok", msgspec.json.encode(start).decode())
        grants = _grants(turn, request.tool)
        if request.name not in named(grants):
            return HostCallResult(
                "denied",
                error=f"{request.tool} has no grant for `{request.name}`; grant it to allow it",
            )
        turn.host_calls += 1
        if turn.host_calls > MAX_CALLS:
            raise ToolError(f"the turn has made {MAX_CALLS} host calls; stop here")
        arguments = _arguments(request)
        if request.name == SECRET:
            known = await self._secrets(turn, grants)
            return HostCallResult("ok", _text(placeholder(arguments, grants, known)))
        if request.name in _OUTSIDE:
            value = await self._outside(turn, records, request, arguments, grants)
            return HostCallResult("ok", _text(value))
        return await _inside(turn, records, request.name, arguments)

    async def _outside(
        self,
        turn: Turn,
        records: Records,
        request: HostCallRequest,
        arguments: dict[str, Any],
        grants: list[str],
    ) -> Any:
        digest = digest_tool(request.name, request.arguments)
        known = await known_result(records.paid(turn), turn.memo, "host", request.seq, digest, str)
        if known is not None:
            return json.loads(known)
        if not turn.opening.caller.is_durable:
            raise ToolError(f"{request.name}: nothing outside is reached from here")
        value = await self._reach(turn, request.name, arguments, grants)
        rows = [turn.memo.keep("host", request.seq, digest, _text(value)), *turn.memo.unwritten()]
        turn.journaled = True

        async def write(connection: AsyncConnection) -> None:
            for row in rows:
                await write_journal(connection, self._vault, *turn.key, row)

        await self._postgres.run(write, wait_s=_DATABASE_WAIT_S)
        return value

    async def _reach(
        self, turn: Turn, name: str, arguments: dict[str, Any], grants: list[str]
    ) -> Any:
        if name == FETCH:
            policy = fetch_policy(grants, await self._secrets(turn, grants))
            return await self._fetcher.fetch(arguments, policy)
        result = await self._models.answer(turn, _llm_request(turn, arguments))
        return {"text": result.text}

    async def _secrets(self, turn: Turn, grants: list[str]) -> Mapping[str, str]:
        if not any(grant.startswith("secrets.use:") for grant in grants):
            return {}
        agent_id = turn.agent_id

        async def read(connection: AsyncConnection) -> dict[str, str]:
            return await fetch_secrets(connection, self._vault, agent_id)

        return await self._postgres.run(read, wait_s=_DATABASE_WAIT_S)


def _grants(turn: Turn, tool: str) -> list[str]:
    for spec in turn.opened_view.base.tools:
        if spec.name == tool and spec.code is not None:
            return spec.code.grants
    return sorted(GENOME)


def _arguments(request: HostCallRequest) -> dict[str, Any]:
    try:
        return msgspec.json.decode(request.arguments, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ToolError(f"{request.name}: the arguments are no JSON object ({error})") from None


async def known_result(
    memo: Memo | None, own: Memo, kind: Kind, seq: int, digest: str, shape: type[T]
) -> T | None:
    """What the turn, or the one that a shadow copies, was answered to this very call."""
    if memo is None:
        return None
    wait_s = 0.0 if memo is own else ORIGINAL_WAIT_S
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        known = memo.result(kind, seq, digest, shape)
        if known is not None or asyncio.get_running_loop().time() >= deadline:
            return known
        await asyncio.sleep(_LOOK_EVERY_S)


async def _inside(
    turn: Turn, records: Records, name: str, arguments: dict[str, Any]
) -> HostCallResult:
    handlers: dict[str, Callable[[Turn, Records, dict[str, Any]], Awaitable[Any]]] = {
        "agent.read": _read_agent,
        "memory.read": _read_memory,
        "memory.write": _write_memory,
        "archive.insert": _keep,
        "archive.search": _search,
    }
    value = await handlers[name](turn, records, arguments)
    if isinstance(value, Block):
        return HostCallResult("ok", _text(value.value), blocks=[value])
    return HostCallResult("ok", _text(value))


async def _read_agent(turn: Turn, records: Records, arguments: dict[str, Any]) -> Any:
    return described(turn.opened_view.base)


async def _read_memory(turn: Turn, records: Records, arguments: dict[str, Any]) -> Any:
    base = turn.opened_view.base
    return read_blocks(base.blocks if turn.overlay is None else turn.overlay.blocks(), arguments)


async def _write_memory(turn: Turn, records: Records, arguments: dict[str, Any]) -> Any:
    edit = MemoryRethink(text_argument(arguments, "label"), text_argument(arguments, "value"))
    return turn.edits().edit(edit, "memory.write")


async def _keep(turn: Turn, records: Records, arguments: dict[str, Any]) -> Any:
    turn.edits().keep(text_argument(arguments, "text"), _strings(arguments, "tags"))
    return None


async def _search(turn: Turn, records: Records, arguments: dict[str, Any]) -> Any:
    query = ArchivalMemorySearch(
        text_argument(arguments, "query"), tags=_strings(arguments, "tags")
    )
    found = await records.search_archive(turn, query)
    return [{"text": passage.text, "tags": passage.tags} for passage in found]


def _llm_request(turn: Turn, arguments: dict[str, Any]) -> LlmRequest:
    messages = [LlmMessage("user", text_argument(arguments, "prompt"))]
    if arguments.get("system"):
        messages.insert(0, LlmMessage("system", text_argument(arguments, "system")))
    base = turn.opened_view.base
    return LlmRequest(base.model, messages, [], {}, False, turn.token, turn.run_id, 0)


def _strings(arguments: dict[str, Any], name: str) -> list[str]:
    values = arguments.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ToolError(f"{name} must be a list of texts, not {values!r}")
    return values


def _text(value: Any) -> str:
    return json.dumps(value)
