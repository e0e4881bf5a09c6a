"""What can be done with agents, as whole transactions.

Every change of what a context is made of raises the version of the agents concerned, announces
them, and, once committed, has the bridge drop its copy before the caller hears of success: whoever
was answered reads their own write in the next turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts import messages as contract
from o_contracts.ids import new_agent_id
from o_platform.agents import (
    agent_views,
    archive_repository,
    attachments,
    history_repository,
    repository,
    sleeptime,
)
from o_platform.agents.agent_update import is_of_own_columns, own_update
from o_platform.agents.agent_views import AgentView
from o_platform.agents.cache import ContextCache
from o_platform.agents.denial import denial_of
from o_platform.agents.folder_repository import replace_folders
from o_platform.agents.group_writes import GroupWrites
from o_platform.agents.history_repository import EVERY_MESSAGE
from o_platform.agents.identity_service import require_identities
from o_platform.agents.inputs import AgentChanges, NewAgent
from o_platform.agents.mcp_repository import fetch_tools
from o_platform.agents.new_agents import (
    INSERT,
    fetch_lineage_key,
    insert_agent,
    is_plain,
    message_row,
    new_rows,
    plain_tools,
)
from o_platform.agents.paging import Page
from o_platform.agents.secret_repository import (
    fetch_secrets_of,
    replace_secrets,
)
from o_platform.agents.tool_service import require_distinct, resolve_tools
from o_platform.agents.tools import ToolCatalogue
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Ask, Database, within
from o_platform.db.line import Statement
from o_platform.db.models import Agent
from o_platform.errors import NotFoundError

_PENDING_MESSAGES: Final = 300
"""Newest messages among which the calls of a waiting step are; a step has far fewer."""
_EXISTS: Final = Statement("SELECT 'true' FROM agents WHERE id = $1")


class AgentService:
    """Creates, reads, changes and deletes agents."""

    def __init__(self, database: Database, cache: ContextCache, catalogue: ToolCatalogue) -> None:
        """`catalogue` knows the tools that agents may be given."""
        self._database = database
        self._cache = cache
        self.catalogue = catalogue
        self._lineage_keys: dict[str, int] = {}
        self._writes = GroupWrites(database, cache)

    async def create(self, wanted: NewAgent) -> AgentView:
        """Create an agent in its lineage, with its blocks and first messages.

        Raises:
            NotFoundError: the lineage, a block or a tool does not exist.
            ConflictError: two blocks with one label.
        """
        if is_plain(self.catalogue, wanted):
            return await self._create_plain(wanted)

        async def change(session: AsyncSession) -> AgentView:
            agent = await insert_agent(session, self.catalogue, wanted)
            if wanted.config.get(sleeptime.ENABLED):
                await sleeptime.enable(session, self.catalogue, agent)
            return await self._view(session, agent)

        return await in_unit(self._database, change)

    async def _create_plain(self, wanted: NewAgent) -> AgentView:
        key = self._lineage_keys.get(wanted.lineage)
        if key is None:
            key = await fetch_lineage_key(self._database.ask, wanted.lineage)
            self._lineage_keys[wanted.lineage] = key
        rows = new_rows(new_agent_id(key), wanted, plain_tools(self.catalogue, wanted))
        vault = self._database.vault
        (row,) = await self._writes.insert(INSERT, *rows.values(vault))
        return agent_views.new_agent(vault, row, rows)

    async def fetch(self, agent_id: str) -> AgentView:
        """The agent with this id.

        Raises:
            NotFoundError: there is none.
        """
        view = await agent_views.read_agent(self._database, self.catalogue, agent_id)
        if view is None:
            raise no_agent(agent_id)
        return view

    async def model_settings(self, agent_id: str) -> dict[str, Any]:
        """What the agent's model is told besides its context.

        Raises:
            NotFoundError: there is no such agent.
        """
        async with self._database.reading() as session:
            return (await existing_agent(session, agent_id)).model_settings

    async def secrets(self, agent_id: str) -> dict[str, str]:
        """What the agent's tools may send, by name."""
        async with self._database.unit_of_work() as session:
            return await fetch_secrets_of(session, agent_id)

    async def update(self, agent_id: str, changes: AgentChanges) -> AgentView:
        """Change an agent; it has exactly the blocks and folders that are named, if any are.

        Raises:
            NotFoundError: the agent, a block or a tool does not exist.
            ConflictError: two blocks with one label.
        """
        if is_of_own_columns(changes):
            return await self._update_own(agent_id, changes)

        async def work(session: AsyncSession, agent: Agent) -> Sequence[str]:
            await require_identities(session, changes.get("identity_ids", []))
            await self._apply(session, agent, changes)
            if "embedding" in changes:
                await archive_repository.move_own(session, agent_id, changes["embedding"])
            if "secrets" in changes:
                await replace_secrets(session, agent_id, changes["secrets"])
            if "folder_ids" in changes:
                await replace_folders(session, agent, changes["folder_ids"])
            touched: list[str] = []
            if "block_ids" in changes:
                former = await repository.fetch_attachments(session, agent_id)
                await attachments.replace(session, agent_id, changes["block_ids"])
                gone = {one.block_id for one in former}.difference(changes["block_ids"])
                touched += await sleeptime.share_blocks(session, agent, list(gone))
            return [*touched, *await self._switch_sleeptime(session, agent, changes)]

        return await self._change(agent_id, work)

    async def _update_own(self, agent_id: str, changes: AgentChanges) -> AgentView:
        update, values = own_update(agent_id, changes)
        changed = await self._writes.update(agent_id, update, *values)
        if not changed:
            raise no_agent(agent_id)
        (view,) = await agent_views.read_agents(self._database, self.catalogue, changed)
        return view

    async def delete(self, agent_id: str) -> None:
        """Delete an agent with its messages, runs, own archive and companion; its blocks stay.

        Raises:
            NotFoundError: there is none.
        """

        async def change(session: AsyncSession) -> list[str]:
            touched = await sleeptime.leave(session, agent_id)
            await locked_agent(session, agent_id)
            await archive_repository.keep_shared(session, agent_id)
            await repository.delete_agent(session, agent_id)
            await repository.announce_agents(session, [agent_id])
            return touched

        touched = await in_unit(self._database, change)
        await self._cache.drop([agent_id, *touched])

    async def reset_messages(self, agent_id: str) -> AgentView:
        """Forget the agent's messages.

        Raises:
            NotFoundError: there is no such agent.
        """

        async def work(session: AsyncSession, agent: Agent) -> Sequence[str]:
            await history_repository.delete_messages(session, agent)
            return []

        return await self._change(agent_id, work)

    async def deny_pending(self, agent_id: str) -> str | None:
        """Deny what waits for an approval, so that the agent is free; returns the run that asked.

        Raises:
            NotFoundError: there is no such agent.
        """

        async def change(session: AsyncSession) -> str | None:
            agent = await locked_agent(session, agent_id)
            newest = Page(limit=_PENDING_MESSAGES)
            rows = await history_repository.list_messages(
                within(session), self._database.vault, agent_id, EVERY_MESSAGE, newest
            )
            stored = [msgspec.convert(row.body, contract.Message) for row in reversed(rows)]
            denial = denial_of(stored)
            session.add_all(message_row(agent_id, message) for message in denial)
            if denial:
                agent.last_stop_reason = "cancelled"
                agent.message_count += len(denial)
                await repository.bump_agents(session, [agent_id])
            return denial[0].run_id if denial else None

        denied = await in_unit(self._database, change)
        await self._cache.drop([agent_id])
        return denied

    async def attach_block(self, agent_id: str, block_id: str) -> AgentView:
        """Give the agent a block, if it does not hold it already.

        Raises:
            NotFoundError: no such agent or block.
            ConflictError: the agent holds another block under the same label.
        """

        async def work(session: AsyncSession, agent: Agent) -> Sequence[str]:
            await attachments.attach_all(session, agent_id, [block_id])
            return await sleeptime.share_blocks(session, agent, [])

        return await self._change(agent_id, work)

    async def detach_block(self, agent_id: str, block_id: str) -> AgentView:
        """Take a block from the agent; the block stays.

        Raises:
            NotFoundError: no such agent, or it does not hold the block.
        """

        async def work(session: AsyncSession, agent: Agent) -> Sequence[str]:
            await attachments.detach(session, agent_id, block_id)
            return await sleeptime.share_blocks(session, agent, [block_id])

        return await self._change(agent_id, work)

    async def attach_tool(self, agent_id: str, tool_id: str) -> AgentView:
        """Give the agent a tool, if it does not have it already.

        Raises:
            NotFoundError: no such agent or tool.
        """
        return await self._change_tools(agent_id, tool_id, lambda tools, name: [*tools, name])

    async def detach_tool(self, agent_id: str, tool_id: str) -> AgentView:
        """Take a tool from the agent, if it has it.

        Raises:
            NotFoundError: no such agent or tool.
        """

        def without(tools: Sequence[str], name: str) -> Sequence[str]:
            return [one for one in tools if one != name]

        return await self._change_tools(agent_id, tool_id, without)

    async def require_approval(self, agent_id: str, name: str, *, required: bool) -> AgentView:
        """Let the agent ask before it runs a tool, or no longer.

        Raises:
            NotFoundError: no such agent, or it does not have the tool.
        """

        async def work(session: AsyncSession, agent: Agent) -> Sequence[str]:
            foreign = await fetch_tools(session, agent.tools)
            if name not in agent.tools and name not in {one.name for one in foreign.values()}:
                raise NotFoundError(f"{agent_id} has no tool named {name!r}", tool=name)
            rule = {"type": "requires_approval", "tool_name": name}
            others = [one for one in agent.tool_rules if not _is_approval_of(one, name)]
            agent.tool_rules = [*others, rule] if required else others
            return []

        return await self._change(agent_id, work)

    async def _change(
        self, agent_id: str, work: Callable[[AsyncSession, Agent], Awaitable[Sequence[str]]]
    ) -> AgentView:
        """Have the locked agent changed; `work` returns other agents whose contexts it changed."""

        async def change(session: AsyncSession) -> tuple[AgentView, Sequence[str]]:
            agent = await locked_agent(session, agent_id)
            touched = await work(session, agent)
            await session.flush()
            await repository.bump_agents(session, [agent_id])
            return await self._view(session, agent), touched

        view, touched = await in_unit(self._database, change)
        await self._cache.drop([agent_id, *touched])
        return view

    async def _change_tools(
        self, agent_id: str, tool_id: str, changed: Callable[[Sequence[str], str], Sequence[str]]
    ) -> AgentView:
        async def work(session: AsyncSession, agent: Agent) -> Sequence[str]:
            (name,) = await self._resolved(session, [], [tool_id])
            wanted = [*dict.fromkeys(changed(agent.tools, name))]
            foreign = await fetch_tools(session, wanted)
            require_distinct(wanted, foreign)
            agent.tools = wanted
            return []

        return await self._change(agent_id, work)

    async def _resolved(
        self, session: AsyncSession, names: Sequence[str], ids: Sequence[str]
    ) -> Sequence[str]:
        return await resolve_tools(session, self.catalogue, names, ids)

    async def _view(self, session: AsyncSession, agent: Agent) -> AgentView:
        await session.flush()
        view = await agent_views.view_agent(session, self.catalogue, agent.id)
        if view is None:
            raise no_agent(agent.id)
        return view

    async def _switch_sleeptime(
        self, session: AsyncSession, agent: Agent, changes: AgentChanges
    ) -> Sequence[str]:
        wanted = changes.get("config", {}).get(sleeptime.ENABLED)
        if wanted is None:
            return []
        await session.flush()
        if wanted:
            return await sleeptime.enable(session, self.catalogue, agent)
        return await sleeptime.disable(session, agent)

    async def _apply(self, session: AsyncSession, agent: Agent, changes: AgentChanges) -> None:
        columns: dict[str, Any] = dict(cast("dict[str, Any]", changes))
        for apart in ("block_ids", "folder_ids", "secrets"):
            columns.pop(apart, None)
        tool_ids = columns.pop("tool_ids", None)
        if tool_ids is not None:
            agent.tools = [*await self._resolved(session, [], tool_ids)]
        config = dict(columns.pop("config", None) or {})
        config.pop(sleeptime.ENABLED, None)
        if config:
            agent.config = {**agent.config, **config}
        for name, value in columns.items():
            setattr(agent, name, value)


async def existing_agent(session: AsyncSession, agent_id: str) -> Agent:
    """The agent with this id.

    Raises:
        NotFoundError: there is none.
    """
    agent = await repository.fetch_agent(session, agent_id)
    if agent is None:
        raise no_agent(agent_id)
    return agent


async def require_agent(ask: Ask, agent_id: str) -> None:
    """Return if there is such an agent.

    Raises:
        NotFoundError: there is none.
    """
    if not await ask(_EXISTS, agent_id):
        raise no_agent(agent_id)


async def locked_agent(session: AsyncSession, agent_id: str) -> Agent:
    """The agent with this id, locked until the transaction ends.

    Raises:
        NotFoundError: there is none.
    """
    agent = await repository.lock_agent(session, agent_id)
    if agent is None:
        raise no_agent(agent_id)
    return agent


def no_agent(agent_id: str) -> NotFoundError:
    """The error that there is no such agent."""
    return NotFoundError(f"no agent has the id {agent_id!r}", agent_id=agent_id)


def _is_approval_of(rule: dict[str, Any], name: str) -> bool:
    return rule.get("type") == "requires_approval" and rule.get("tool_name") == name
