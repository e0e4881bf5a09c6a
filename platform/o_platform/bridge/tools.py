"""Tool calls of turns whose home is the bridge: memory, searches, archival memory, documents.

Edits change what the turn sees and are written with its commit. What a search found is remembered
with the turn, so that another attempt finds the same. What the model did wrong comes back to it as
a result with status `error`; what the platform could not do is an error of the exchange.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec

from o_contracts.bridge import TOOL_CALL, ToolCallRequest, ToolCallResult
from o_contracts.messages import Block, Message, ToolReturn
from o_platform.bridge.agent_messages import AgentMessages
from o_platform.bridge.approvals import may_run
from o_platform.bridge.connection import Connection
from o_platform.bridge.counters import Counters
from o_platform.bridge.documents import Documents
from o_platform.bridge.mcp import McpCalls
from o_platform.bridge.memo import digest_tool
from o_platform.bridge.records import Records, Remembered
from o_platform.bridge.tasks import Tasks
from o_platform.bridge.turn import Turn
from o_platform.errors import OError
from o_tools.agents import (
    SendMessageToAgentAndWaitForReply,
    SendMessageToAgentAsync,
    SendMessageToAgentsMatchingTags,
)
from o_tools.catalogue import parse_call
from o_tools.documents import GrepFiles, OpenFiles, SemanticSearchFiles
from o_tools.edits import Edit
from o_tools.errors import ToolError
from o_tools.files import (
    CreateBlock,
    DeleteBlock,
    FileAction,
    Memory,
    RenameBlock,
    ViewBlock,
)
from o_tools.manifests import MANIFESTS
from o_tools.queries import (
    ArchivalMemoryInsert,
    ArchivalMemorySearch,
    ConversationSearch,
    MemoryFinishEdits,
    SendMessage,
)

SENT: Final = "The message was sent."
EDITS_DONE: Final = "The edits are kept."
KEPT: Final = "Kept in archival memory."
LONGEST_EXCERPT: Final = 2000
"""Characters of a found message that the model is shown."""

_log = logging.getLogger(__name__)
Look = Callable[[], Awaitable[ToolCallResult]]


class Tools:
    """Answers `tool.call` for running turns."""

    def __init__(
        self,
        tasks: Tasks,
        counters: Counters,
        documents: Documents,
        mcp: McpCalls,
        agents: AgentMessages,
    ) -> None:
        """`tasks` runs what takes time.

        `documents` reads those of folders, `mcp` asks servers, `agents` other agents.
        """
        self._tasks = tasks
        self._counters = counters
        self._documents = documents
        self._mcp = mcp
        self._agents = agents

    def call(
        self,
        turn: Turn,
        records: Records,
        connection: Connection,
        exchange: int,
        request: ToolCallRequest,
    ) -> None:
        """Answer with the tool's result; at once unless it searches."""
        self._counters.tool_calls += 1
        try:
            _require_allowed(turn, request)
            _count(turn, request.name)
            if request.name not in MANIFESTS:
                asked = partial(self._mcp.call, turn, records, request)
                self._tasks.spawn(_answered(turn, connection, exchange, request, asked))
                return
            arguments = parse_call(request.name, request.arguments)
            work = self._looking(turn, records, exchange, request, arguments)
            if work is not None:
                self._tasks.spawn(_answered(turn, connection, exchange, request, work))
                return
            result = _execute(turn, request, arguments)
        except ToolError as error:
            result = ToolCallResult(_failure(request, error))
        connection.reply(exchange, TOOL_CALL, result)

    def _looking(
        self,
        turn: Turn,
        records: Records,
        exchange: int,
        request: ToolCallRequest,
        arguments: msgspec.Struct,
    ) -> Look | None:
        """What answers a call that has to look something up."""
        agent_id = turn.agent_id
        match arguments:
            case ConversationSearch() | ArchivalMemorySearch():
                return _once(turn, request, lambda: _found(turn, records, arguments))
            case GrepFiles():
                return _once(turn, request, lambda: self._documents.grep(agent_id, arguments))
            case SemanticSearchFiles():
                return _once(turn, request, lambda: self._documents.search(agent_id, arguments))
            case OpenFiles():
                return lambda: self._open(turn, request, arguments)
            case (
                SendMessageToAgentAsync()
                | SendMessageToAgentAndWaitForReply()
                | SendMessageToAgentsMatchingTags()
            ):
                return lambda: self._agents.call(turn, records, exchange, request, arguments)
            case _:
                return None

    async def _open(self, turn: Turn, request: ToolCallRequest, call: OpenFiles) -> ToolCallResult:
        opened = await self._documents.open(turn.agent_id, turn.edits(), call)
        return ToolCallResult(_success(request, opened.text), opened.blocks, removed=opened.removed)


def _require_allowed(turn: Turn, request: ToolCallRequest) -> None:
    attached = [tool.name for tool in turn.opened_view.base.tools]
    if request.name not in attached:
        raise ToolError(
            f"there is no tool {request.name!r}; the tools are: {', '.join(attached) or 'none'}"
        )
    context = turn.opened_view.base
    if context.tool_rules and not may_run(
        context, turn.opening.request, request.name, request.tool_call_id
    ):
        raise ToolError(f"{request.name} needs an approval, and this call has none")


def _count(turn: Turn, name: str) -> None:
    if turn.tool_calls is None:
        turn.tool_calls = Counter()
    turn.tool_calls[name] += 1
    manifest = MANIFESTS.get(name)
    if manifest is not None and turn.tool_calls[name] > manifest.limits.calls:
        raise ToolError(
            f"{name} was called {manifest.limits.calls} times in this turn, its limit; go on "
            "without it, or answer the user"
        )


def _execute(turn: Turn, request: ToolCallRequest, arguments: msgspec.Struct) -> ToolCallResult:
    match arguments:
        case Edit():
            block = turn.edits().edit(arguments, request.name)
            return ToolCallResult(_success(request, _edited(block)), [block])
        case Memory():
            return _act(turn, request, arguments.action())
        case ArchivalMemoryInsert():
            turn.edits().keep(arguments.content, arguments.tags)
            return ToolCallResult(_success(request, KEPT))
        case SendMessage():
            return ToolCallResult(_success(request, SENT))
        case MemoryFinishEdits():
            return ToolCallResult(_success(request, EDITS_DONE))
        case _:
            raise ToolError(f"{request.name} cannot be called here")


def _act(turn: Turn, request: ToolCallRequest, action: FileAction) -> ToolCallResult:
    overlay = turn.edits()
    match action:
        case ViewBlock():
            blocks = [overlay.block(action.label)] if action.label else overlay.blocks()
            shown = "\n\n".join(map(_numbered, blocks)) or "There are no memory blocks."
            return ToolCallResult(_success(request, shown))
        case CreateBlock():
            block = overlay.create(action)
            return ToolCallResult(_success(request, _edited(block)), [block])
        case DeleteBlock():
            gone = overlay.remove(action.label)
            text = f"The memory block {gone.label!r} was removed."
            return ToolCallResult(_success(request, text), removed=[gone.id])
        case RenameBlock():
            block = overlay.rename(action.label, action.new_label)
            text = f"The memory block {action.label!r} is called {block.label!r} now."
            return ToolCallResult(_success(request, text), [block])
        case _:
            block = overlay.edit(action, request.name)
            return ToolCallResult(_success(request, _edited(block)), [block])


def _once(turn: Turn, request: ToolCallRequest, find: Callable[[], Awaitable[str]]) -> Look:
    """What was found is remembered: another attempt of the turn finds the same."""

    async def look() -> ToolCallResult:
        digest = digest_tool(request.name, request.arguments)
        text = turn.memo.result("tool", request.seq, digest, str)
        if text is None:
            text = await find()
            turn.memo.keep("tool", request.seq, digest, text)
        return ToolCallResult(_success(request, text))

    return look


async def _answered(
    turn: Turn, connection: Connection, exchange: int, request: ToolCallRequest, look: Look
) -> None:
    turn.calls += 1
    try:
        result = await look()
    except ToolError as error:
        result = ToolCallResult(_failure(request, error))
    except OError as error:
        connection.fail(exchange, TOOL_CALL, error)
        return
    except Exception:  # noqa: BLE001 — whatever it is, the instance must get an answer
        _log.exception("a tool call failed", extra={"run_id": turn.run_id})
        connection.fail(exchange, TOOL_CALL, OError(f"{request.name} failed; see `o logs bridge`"))
        return
    finally:
        turn.calls -= 1
    connection.reply(exchange, TOOL_CALL, result)


async def _found(
    turn: Turn, records: Records, query: ConversationSearch | ArchivalMemorySearch
) -> str:
    if isinstance(query, ConversationSearch):
        return _as_json([_shown(m) for m in await records.search_messages(turn, query)])
    stored = await records.search_archive(turn, query)
    return _as_json([*_pending(turn, query), *(_recalled(passage) for passage in stored)])


def _pending(turn: Turn, query: ArchivalMemorySearch) -> Sequence[dict[str, Any]]:
    """What this very turn put into archival memory, as far as it has a word of the query."""
    if turn.overlay is None:
        return ()
    words = query.query.lower().split()
    return [
        _recalled(Remembered(passage.text, passage.tags, None))
        for passage in turn.overlay.passages
        if any(word in passage.text.lower() for word in words)
        and (not query.tags or set(query.tags) & set(passage.tags))
    ]


def _recalled(passage: Remembered) -> dict[str, Any]:
    return {"text": passage.text, "tags": passage.tags, "date": passage.created_at}


def _shown(message: Message) -> dict[str, Any]:
    date = datetime.fromtimestamp(message.date_us // 1_000_000, UTC)
    return {"type": message.type, "text": message.text[:LONGEST_EXCERPT], "date": date}


def _as_json(found: Sequence[dict[str, Any]]) -> str:
    return msgspec.json.encode(found).decode() if found else "Nothing was found."


def _edited(block: Block) -> str:
    return f"The memory block {block.label!r} was edited. It now reads:\n{block.value}"


def _numbered(block: Block) -> str:
    lines = (f"{at}: {line}" for at, line in enumerate(block.value.split("\n"), 1))
    return "\n".join([f"/memories/{block.label}", *lines])


def _success(request: ToolCallRequest, text: str) -> ToolReturn:
    return ToolReturn(request.tool_call_id, "success", text)


def _failure(request: ToolCallRequest, error: ToolError) -> ToolReturn:
    return ToolReturn(request.tool_call_id, "error", f"Error: {error}")
