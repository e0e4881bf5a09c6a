"""Takes agents in from agent files, each file as one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from o_platform.agents import attachments, sleeptime, tool_repository
from o_platform.agents.agent_files import contents
from o_platform.agents.agent_files.contents import Overrides
from o_platform.agents.agent_files.format import AgentFile, FileAgent, FileTool
from o_platform.agents.defaults import SLEEPTIME_FREQUENCY
from o_platform.agents.new_agents import insert_agent
from o_platform.agents.tool_service import ToolService, derive, insert_tool
from o_platform.agents.tools import ToolCatalogue
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import Agent
from o_platform.errors import BadInputError

_WRITTEN_IN = (None, "python", "json")
_PAIR = 2
"""Agents of a group that can be taken in: one and its companion."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The new agents' ids, in the order of the file, and what was left out, in sentences."""

    agent_ids: list[str]
    notes: list[str]


@dataclass(slots=True)
class _Taken:
    """What of a file is in the database so far, by the file's own ids."""

    tools: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class AgentFileService:
    """Imports agent files."""

    def __init__(self, database: Database, catalogue: ToolCatalogue, tools: ToolService) -> None:
        """`catalogue` knows the built-in tools, `tools` changes those that were added."""
        self._database = database
        self._catalogue = catalogue
        self._tools = tools

    async def take_in(
        self, file: AgentFile, overrides: Overrides, *, lineage: str, default_model: str
    ) -> Imported:
        """Create the agents of a file with their blocks, tools and messages, under new ids.

        Raises:
            BadInputError: an agent refers to a block that is not in the file.
            NotFoundError: no such lineage.
            ConflictError: an agent with two blocks of one label.
        """
        wanted = [
            (one, contents.new_agent(one, overrides, lineage=lineage, default_model=default_model))
            for one in file.agents
        ]

        async def change(session: AsyncSession) -> Imported:
            taken = _Taken(notes=_left_out(file))
            await self._take_tools(session, file.tools, taken)
            await _take_blocks(session, file, taken)
            made: list[Agent] = []
            for agent, new in wanted:
                source = agent.model_copy(update={"messages": []}) if stripped else agent
                tools = self._tools_of(agent, taken)
                full = contents.filled(new, tools, _blocks_of(agent, taken), source)
                made.append(await insert_agent(session, self._catalogue, full))
            await self._take_companions(session, file, made, taken)
            return Imported([agent.id for agent in made], taken.notes)

        stripped = overrides.strip_messages
        imported = await in_unit(self._database, change)
        if overrides.replace_tools:
            await self._replace_tools(file.tools)
        return imported

    async def _take_tools(
        self, session: AsyncSession, tools: Sequence[FileTool], taken: _Taken
    ) -> None:
        present = await tool_repository.fetch_named(session, [tool.name for tool in tools])
        for tool in tools:
            if self._catalogue.spec(tool.name) is not None or tool.name in present:
                taken.tools[tool.id] = tool.name
                continue
            derived = _derived(tool, taken)
            if derived is not None:
                row = await insert_tool(session, contents.tool_fields(tool), derived)
                taken.tools[tool.id] = present.setdefault(row.name, row).name

    async def _take_companions(
        self, session: AsyncSession, file: AgentFile, made: Sequence[Agent], taken: _Taken
    ) -> None:
        """Let agents be kept by the companions that they had, or else by new ones."""
        agents = {one.id: agent for one, agent in zip(file.agents, made, strict=True)}
        grouped: set[str] = set()
        for group in file.groups:
            manager_id = group.manager_config.manager_agent_id or ""
            members = {manager_id, *group.agent_ids}
            is_usable = len(members) == _PAIR and members <= agents.keys() - grouped
            if not (group.is_of_companion and is_usable):
                taken.notes.append("a group of the file was left out")
                continue
            grouped |= members
            agent = agents[manager_id]
            frequency = group.manager_config.sleeptime_agent_frequency or SLEEPTIME_FREQUENCY
            given_up = sleeptime.usually_given_up(self._catalogue, agent)
            companion = agents[group.agent_ids[0]]
            await sleeptime.adopt(
                session, agent, companion.id, frequency=frequency, given_up=given_up
            )
        for one in file.agents:
            if one.enable_sleeptime and one.id not in grouped:
                agent = agents[one.id]
                given_up = sleeptime.usually_given_up(self._catalogue, agent)
                await sleeptime.enable(session, self._catalogue, agent, given_up=given_up)

    def _tools_of(self, agent: FileAgent, taken: _Taken) -> list[str]:
        named = [name for name in agent.tools or [] if self._catalogue.spec(name) is not None]
        held = [taken.tools[one] for one in agent.tool_ids or [] if one in taken.tools]
        return list(dict.fromkeys([*named, *held]))

    async def _replace_tools(self, tools: Sequence[FileTool]) -> None:
        for tool in tools:
            if tool.source_code and self._catalogue.spec(tool.name) is None:
                if _derived(tool, _Taken()) is not None:
                    await self._tools.upsert(contents.tool_fields(tool))


async def _take_blocks(session: AsyncSession, file: AgentFile, taken: _Taken) -> None:
    rows = {block.id: attachments.new_row(contents.new_block(block)) for block in file.blocks}
    session.add_all(rows.values())
    await session.flush()
    taken.blocks = {name: row.id for name, row in rows.items()}


def _blocks_of(agent: FileAgent, taken: _Taken) -> list[str]:
    missing = [one for one in agent.block_ids or [] if one not in taken.blocks]
    if missing:
        raise BadInputError(
            f"the agent {agent.name!r} has the block {missing[0]!r}, which is not in the file",
            field="file",
        )
    return [taken.blocks[one] for one in agent.block_ids or []]


def _derived(tool: FileTool, taken: _Taken) -> dict[str, Any] | None:
    """The columns that follow from a tool's source; None, and a note, if it cannot be had."""
    if tool.is_of_server:
        taken.notes.append(
            f"tool {tool.name!r} ({tool.tool_type}) runs on a server of its own; add that as an "
            "MCP server and attach the tool"
        )
        return None
    if not tool.source_code or tool.source_type not in _WRITTEN_IN:
        why = "is not built in here" if not tool.source_code else "is not written in Python"
        taken.notes.append(f"tool {tool.name!r} ({tool.tool_type}) {why}; agents go without it")
        return None
    try:
        return derive(contents.tool_fields(tool))
    except BadInputError as error:
        taken.notes.append(f"tool {tool.name!r} cannot be run here: {error.message}")
        return None


def _left_out(file: AgentFile) -> list[str]:
    notes = [note for agent in file.agents for note in contents.left_out(agent)]
    parts = (("files", "files"), ("sources", "folders"), ("mcp_servers", "MCP servers"))
    for name, what in parts:
        count = len(getattr(file, name))
        if count:
            notes.append(f"{count} {what} of the file were left out")
    for agent in file.agents:
        secrets = agent.secret_names()
        if secrets:
            notes.append(f"{agent.name}: set its secrets again: {', '.join(secrets)}")
    return notes
