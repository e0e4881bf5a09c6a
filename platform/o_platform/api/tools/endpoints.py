"""`/v1/tools`, and the tools of an agent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from o_platform.agents.agent_views import AgentView
from o_platform.api.agents.schemas import AgentState, ToolState
from o_platform.api.agents.views import agent_answer, agent_tools, tool_state
from o_platform.api.deps import AgentsDep, AuthorDep, McpDep, ToolRunsDep, ToolsDep
from o_platform.api.fields import AgentPath, Name, ToolId
from o_platform.api.tools.results import execution, mcp_execution, return_message
from o_platform.api.tools.schemas import (
    CUSTOM,
    AgentToolsQuery,
    ApprovalBody,
    ToolArguments,
    ToolCreate,
    ToolExecution,
    ToolFound,
    ToolListQuery,
    ToolReturnMessageState,
    ToolRun,
    ToolSearch,
    ToolUpdate,
    added_tool_state,
    language_of,
)
from o_platform.api.tools.search import found_tools
from o_platform.errors import NotFoundError

router = APIRouter(prefix="/v1", tags=["tools"])
ToolPath = Annotated[ToolId, Path()]


@router.post("/tools")
async def create_tool(body: ToolCreate, tools: ToolsDep) -> ToolState:
    """Add a tool; its schema comes from the source's type hints and docstring."""
    return added_tool_state(await tools.create(body.fields()))


@router.put("/tools")
async def upsert_tool(body: ToolCreate, tools: ToolsDep) -> ToolState:
    """Add a tool, or replace the one with the same name."""
    return added_tool_state(await tools.upsert(body.fields()))


@router.get("/tools")
async def list_tools(
    tools: ToolsDep, agents: AgentsDep, query: Annotated[ToolListQuery, Query()]
) -> list[ToolState]:
    """List tools: those that were added, newest first, then the built-in ones."""
    page = query.page()
    shown = [tool_state(spec) for spec in agents.catalogue.specs()]
    built_in = [state for state in shown if query.matches(state)]
    if any(state.id == page.after for state in shown):
        at = next((n for n, state in enumerate(built_in) if state.id == page.after), -1)
        return built_in[at + 1 :][: page.limit]
    if page.before is not None and any(state.id == page.before for state in shown):
        return []
    added = await tools.list(query.filter(), page) if query.wants(CUSTOM) else []
    states = [added_tool_state(tool) for tool in added]
    return (states + built_in)[: page.limit] if page.before is None else states


@router.post("/tools/search")
async def search_tools(body: ToolSearch, tools: ToolsDep, agents: AgentsDep) -> list[ToolFound]:
    """Tools whose name, description or parameters have words of the query, best first."""
    return await found_tools(body, tools, agents.catalogue)


@router.post("/tools/run")
async def run_tool(body: ToolRun, runs: ToolRunsDep) -> ToolReturnMessageState:
    """Run source once in a sandbox, without keeping it."""
    outcome = await runs.run_source(
        body.source_code, body.args, body.function, body.tier, language_of(body.source_type)
    )
    return return_message(outcome, body.name)


@router.get("/tools/{tool_id}")
async def retrieve_tool(tool_id: ToolPath, tools: ToolsDep, agents: AgentsDep) -> ToolState:
    """One tool."""
    name = agents.catalogue.name_of(tool_id)
    spec = agents.catalogue.spec(name) if name is not None else None
    return tool_state(spec) if spec else added_tool_state(await tools.fetch(tool_id))


@router.patch("/tools/{tool_id}")
async def update_tool(tool_id: ToolPath, body: ToolUpdate, tools: ToolsDep) -> ToolState:
    """Change a tool; agents that have it use the new one from their next turn on."""
    return added_tool_state(await tools.update(tool_id, body.fields()))


@router.delete("/tools/{tool_id}")
async def delete_tool(tool_id: ToolPath, tools: ToolsDep) -> Response:
    """Delete a tool; agents no longer have it."""
    await tools.delete(tool_id)
    return Response("null", media_type="application/json")


@router.get("/agents/{agent_id}/tools")
async def list_agent_tools(
    agent_id: AgentPath, agents: AgentsDep, query: Annotated[AgentToolsQuery, Query()]
) -> list[ToolState]:
    """List an agent's tools."""
    view = await agents.fetch(agent_id)
    states = agent_tools(view, agents.catalogue)
    ids = [state.id for state in states]
    start = ids.index(query.after) + 1 if query.after in ids else 0
    end = ids.index(query.before) if query.before in ids else len(ids)
    return states[start:end][: query.limit or len(states)]


@router.patch("/agents/{agent_id}/tools/attach/{tool_id}", response_model=AgentState)
async def attach_tool(agent_id: AgentPath, tool_id: ToolPath, agents: AgentsDep) -> Response:
    """Give an agent a tool."""
    return agent_answer(await agents.attach_tool(agent_id, tool_id), agents.catalogue)


@router.patch("/agents/{agent_id}/tools/detach/{tool_id}", response_model=AgentState)
async def detach_tool(agent_id: AgentPath, tool_id: ToolPath, agents: AgentsDep) -> Response:
    """Take a tool from an agent."""
    return agent_answer(await agents.detach_tool(agent_id, tool_id), agents.catalogue)


@router.patch("/agents/{agent_id}/tools/approval/{tool_name}", response_model=AgentState)
async def update_tool_approval(
    agent_id: AgentPath, tool_name: Name, body: ApprovalBody, agents: AgentsDep
) -> Response:
    """Let an agent ask before it runs a tool, or no longer."""
    required = body.requires_approval
    view = await agents.require_approval(agent_id, tool_name, required=required)
    return agent_answer(view, agents.catalogue)


@router.post("/agents/{agent_id}/tools/{tool_name}/run")
async def run_agent_tool(
    agent_id: AgentPath,
    tool_name: Name,
    agents: AgentsDep,
    runs: ToolRunsDep,
    mcp: McpDep,
    author: AuthorDep,
    body: ToolArguments | None = None,
) -> ToolExecution:
    """Run a tool of an agent once, outside any turn."""
    view = await agents.fetch(agent_id)
    arguments = body.args if body is not None else {}
    for tool in view.mcp_tools.values():
        if tool.id in view.agent.tools and tool.name == tool_name:
            return mcp_execution(await mcp.run(tool, arguments))
    _require_tool(view, tool_name)
    secrets = await agents.secrets(agent_id)
    outcome = await runs.run_of_agent(view, tool_name, arguments, secrets, author)
    return execution(outcome)


def _require_tool(view: AgentView, name: str) -> None:
    if name not in view.agent.tools:
        raise NotFoundError(f"{view.agent.id} has no tool named {name!r}", tool=name)
