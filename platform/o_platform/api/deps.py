"""What endpoints are given: the platform's services, and who calls.

All are coroutines: FastAPI hands plain functions to a thread, which costs more than most answers.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Header, Request

from o_platform.agents.agent_files.service import AgentFileService
from o_platform.agents.archive_service import ArchiveService
from o_platform.agents.background_service import BackgroundService
from o_platform.agents.block_service import BlockService
from o_platform.agents.conversation_service import ConversationService
from o_platform.agents.folder_service import FolderService
from o_platform.agents.inputs import Author
from o_platform.agents.reading_service import ReadingService
from o_platform.agents.running_turns import RunningTurnsOfBridge
from o_platform.agents.service import AgentService
from o_platform.agents.takeover import Takeover
from o_platform.agents.tool_service import ToolService
from o_platform.agents.turn_client import Sender, TurnClient
from o_platform.api.agents.shown_agents import ShownAgents
from o_platform.db.engine import Database
from o_platform.tooling.mcp_service import McpService
from o_platform.tooling.runs import ToolRuns
from o_platform.wiring import Platform


def _of(request: Request) -> Platform:
    return cast(Platform, request.app.state.platform)


async def _platform(request: Request) -> Platform:
    return _of(request)


async def _database(request: Request) -> Database:
    return _of(request).database


async def _running_turns(request: Request) -> RunningTurnsOfBridge:
    return _of(request).running_turns


async def _agents(request: Request) -> AgentService:
    return _of(request).agents


async def _shown_agents(request: Request) -> ShownAgents:
    return cast(ShownAgents, request.app.state.shown_agents)


async def _agent_files(request: Request) -> AgentFileService:
    return _of(request).agent_files


async def _folders(request: Request) -> FolderService:
    return _of(request).folders


async def _reading(request: Request) -> ReadingService:
    return _of(request).reading


async def _mcp(request: Request) -> McpService:
    return _of(request).mcp


async def _takeover(request: Request) -> Takeover:
    return _of(request).takeover


async def _conversations(request: Request) -> ConversationService:
    return _of(request).conversations


async def _background(request: Request) -> BackgroundService:
    return _of(request).background


async def _blocks(request: Request) -> BlockService:
    return _of(request).blocks


async def _archives(request: Request) -> ArchiveService:
    return _of(request).archives


async def _tools(request: Request) -> ToolService:
    return _of(request).tools


async def _tool_runs(request: Request) -> ToolRuns:
    return _of(request).tool_runs


async def _caller(x_o_client: Annotated[str, Header()] = "") -> str:
    return x_o_client or "operator"


async def _author(
    caller: Annotated[str, Depends(_caller)],
    x_o_reason: Annotated[
        str, Header(max_length=1000, description="why; kept in the history")
    ] = "",
) -> Author:
    return Author(caller, x_o_reason)


async def _turns(request: Request) -> TurnClient:
    return _of(request).turns


async def _sender(request: Request) -> Sender:
    headers = request.headers
    retry = headers.get("x-stainless-retry-count", "0")
    return Sender(
        headers.get("x-o-client", ""),
        headers.get("x-request-id", ""),
        int(retry) if retry.isdecimal() else 0,
    )


PlatformDep = Annotated[Platform, Depends(_platform)]
DatabaseDep = Annotated[Database, Depends(_database)]
RunningTurnsDep = Annotated[RunningTurnsOfBridge, Depends(_running_turns)]
AgentsDep = Annotated[AgentService, Depends(_agents)]
ShownAgentsDep = Annotated[ShownAgents, Depends(_shown_agents)]
AgentFilesDep = Annotated[AgentFileService, Depends(_agent_files)]
FoldersDep = Annotated[FolderService, Depends(_folders)]
ReadingDep = Annotated[ReadingService, Depends(_reading)]
McpDep = Annotated[McpService, Depends(_mcp)]
TakeoverDep = Annotated[Takeover, Depends(_takeover)]
ConversationsDep = Annotated[ConversationService, Depends(_conversations)]
ToolsDep = Annotated[ToolService, Depends(_tools)]
ToolRunsDep = Annotated[ToolRuns, Depends(_tool_runs)]
BackgroundDep = Annotated[BackgroundService, Depends(_background)]
BlocksDep = Annotated[BlockService, Depends(_blocks)]
ArchivesDep = Annotated[ArchiveService, Depends(_archives)]
CallerDep = Annotated[str, Depends(_caller)]
"""Name of the key a request came with; `operator` for whoever opened the socket itself."""
AuthorDep = Annotated[Author, Depends(_author)]
"""Who changes memory by this request, and why."""
TurnsDep = Annotated[TurnClient, Depends(_turns)]
SenderDep = Annotated[Sender, Depends(_sender)]
"""For whom a turn is sent on: as the request's headers say, which Envoy has checked."""
