"""Takes agents over from a database of the retired server, keeping their ids.

What is there already stays as it is, so a takeover that was broken off is simply run again. An
agent comes first, with its blocks, tools and archives; its messages and passages follow in batches.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import DEFAULT_LINEAGE_KEY, is_valid_id, lineage_key
from o_platform.agents import attachments, repository, sleeptime, tool_repository
from o_platform.agents.agent_files import contents
from o_platform.agents.agent_files.contents import Overrides
from o_platform.agents.agent_files.format import COMPANIONS, FileAgent, FileBlock, FileTool
from o_platform.agents.agent_files.role_messages import RoleMessage, as_stored
from o_platform.agents.cache import ContextCache
from o_platform.agents.defaults import (
    DEFAULT_AGENT_TYPE,
    DEFAULT_EMBEDDING,
    SLEEPTIME_FREQUENCY,
)
from o_platform.agents.group_repository import group_of
from o_platform.agents.new_agents import insert_agent, message_row
from o_platform.agents.service import existing_agent, locked_agent
from o_platform.agents.takeover_history import (
    ConversationBatch,
    RunBatch,
    add_conversations,
    add_runs,
    of_agent,
)
from o_platform.agents.tool_service import derive, insert_tool
from o_platform.agents.tools import ToolCatalogue
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import Agent, Archive, Block, Lineage, Message, Passage
from o_platform.errors import BadInputError
from o_platform.memory.archives import attach
from o_platform.memory.embedders import Embedders
from o_platform.memory.passages import MAX_TEXT_CHARACTERS, NewPassage, insert_passages

DEFAULT_LINEAGE: Final = "default"
_NAMES: Final = uuid.UUID("6f1a0d8e-0b5e-4c5f-9a56-0d3c7a4b9e21")
"""Names what had no id of its own, the same in every run."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class TakenArchive(_Part):
    """An archive; `embedding` is the handle of its model."""

    id: str
    name: str = "archive"
    description: str | None = None
    embedding: str | None = None


class TakenPassage(_Part):
    """A text of an archive."""

    id: str
    text: str
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    created_at: datetime | None = None


class AgentBundle(_Part):
    """An agent with what it needs before its messages."""

    agent: FileAgent
    blocks: list[FileBlock] = []
    tools: list[FileTool] = []
    archives: list[TakenArchive] = []
    model: str | None = Field(None, description="instead of the agent's")
    embedding: str | None = Field(None, description="instead of those of agent and archives")


class MessageBatch(_Part):
    """Messages of one of an agent's conversations (its default one, unless named) in order.

    `is_first` if the conversation begins with them.
    """

    messages: list[RoleMessage]
    is_first: bool = False
    conversation_id: str | None = None


class TakenGroup(_Part):
    """A group of agents that are there."""

    id: str
    manager_type: str = ""
    manager_agent_id: str | None = None
    sleeptime_agent_frequency: int | None = Field(None, ge=1, le=1_000_000)
    agent_ids: list[str] = []


class PassageBatch(_Part):
    """Texts of an archive."""

    passages: list[TakenPassage]


@dataclass(frozen=True, slots=True)
class TakenAgent:
    """Whether the agent is new here, and what of it was left out, in sentences."""

    is_new: bool
    notes: list[str]


class Takeover:
    """Creates what is not there yet."""

    def __init__(
        self,
        database: Database,
        cache: ContextCache,
        catalogue: ToolCatalogue,
        embedders: Embedders,
        default_model: str,
    ) -> None:
        """`default_model` is that of agents whose model is not known."""
        self._database = database
        self._cache = cache
        self._catalogue = catalogue
        self._embedders = embedders
        self._default_model = default_model

    async def agent(self, bundle: AgentBundle) -> TakenAgent:
        """Create the agent, unless one has its id.

        Raises:
            BadInputError: its id cannot be kept.
            OError: an embedding model cannot be reached.
        """
        dimensions = {
            archive.id: await self._embedders.dimensions(_embedding(archive, bundle))
            for archive in bundle.archives
        }

        async def change(session: AsyncSession) -> TakenAgent:
            await _require_usable(session, bundle.agent.id)
            if await repository.fetch_agent(session, bundle.agent.id) is not None:
                return TakenAgent(False, [])
            notes = contents.left_out(bundle.agent)
            if bundle.agent.secret_names():
                notes.append(f"{bundle.agent.name}: set its secrets again")
            tools = await self._tools(session, bundle, notes)
            await _add_blocks(session, bundle.blocks)
            await self._insert(session, bundle, tools)
            await _add_archives(session, bundle, dimensions)
            return TakenAgent(True, notes)

        return await in_unit(self._database, change)

    async def messages(self, agent_id: str, batch: MessageBatch) -> int:
        """Append messages that the agent does not have yet; returns how many became of them.

        Raises:
            NotFoundError: there is no such agent.
            BadInputError: it has no such conversation.
        """
        thread = batch.conversation_id

        async def change(session: AsyncSession) -> int:
            agent = await locked_agent(session, agent_id)
            conversation = None if thread is None else await of_agent(session, agent_id, thread)
            if thread is not None and conversation is None:
                raise BadInputError(f"{agent_id} has no {thread}", field="conversation_id")
            aloud = agent.agent_type != DEFAULT_AGENT_TYPE
            made = as_stored(
                batch.messages, thinks_aloud=aloud, name=_name, has_prompt=batch.is_first
            )
            ids = [message.id for message in made]
            present = set(await session.scalars(select(Message.id).where(Message.id.in_(ids))))
            fresh = {m.id: message_row(agent_id, m, thread) for m in made if m.id not in present}
            session.add_all(fresh.values())
            (agent if conversation is None else conversation).message_count += len(fresh)
            await session.flush()
            if conversation is not None and fresh:
                said_at = max(row.created_at for row in fresh.values())
                conversation.last_message_at = max(said_at, conversation.last_message_at or said_at)
            await repository.bump_agents(session, [agent_id])
            return len(fresh)

        count = await in_unit(self._database, change)
        await self._cache.drop([agent_id])
        return count

    async def conversations(self, agent_id: str, batch: ConversationBatch) -> int:
        """Create conversations that are not there yet; returns how many.

        Raises:
            NotFoundError: there is no such agent.
            BadInputError: an id cannot be kept, or is that of another agent's conversation.
        """

        async def change(session: AsyncSession) -> int:
            agent = await locked_agent(session, agent_id)
            for one in batch.conversations:
                await _require_lineage(session, one.id)
            return await add_conversations(session, agent, batch.conversations)

        return await in_unit(self._database, change)

    async def runs(self, agent_id: str, batch: RunBatch) -> tuple[int, int]:
        """Keep runs that have ended and are not there yet; how many they and their steps were.

        Raises:
            NotFoundError: there is no such agent.
        """

        async def change(session: AsyncSession) -> tuple[int, int]:
            return await add_runs(session, await locked_agent(session, agent_id), batch.runs)

        return await in_unit(self._database, change)

    async def group(self, group: TakenGroup) -> bool | None:
        """Let an agent's memory be kept by the companion it had; None if it is of another kind.

        Returns whether it is new here.
        """
        if group.manager_type not in COMPANIONS or len(group.agent_ids) != 1:
            return None
        members = [group.manager_agent_id or "", *group.agent_ids]

        async def change(session: AsyncSession) -> bool | None:
            await repository.lock_agents(session, members)
            agents = [await repository.fetch_agent(session, one) for one in members]
            manager = agents[0]
            if manager is None or agents[1] is None or manager is agents[1]:
                return None
            if any([await group_of(session, one) for one in members]):
                return False
            await sleeptime.adopt(
                session, manager, members[1],
                frequency=group.sleeptime_agent_frequency or SLEEPTIME_FREQUENCY,
                given_up=sleeptime.usually_given_up(self._catalogue, manager),
            )  # fmt: skip
            await repository.bump_agents(session, [manager.id])
            return True

        is_new = await in_unit(self._database, change)
        await self._cache.drop(members)
        return is_new

    async def passages(self, archive_id: str, batch: PassageBatch) -> int:
        """Keep passages that the archive does not have yet, for a job to embed; how many it were.

        Raises:
            BadInputError: there is no such archive.
        """

        async def change(session: AsyncSession) -> int:
            archive = await session.get(Archive, archive_id)
            if archive is None:
                raise BadInputError(f"no archive has the id {archive_id!r}", field="archive_id")
            wanted = {one.id: one for one in (_passage(p) for p in batch.passages) if one.text}
            found = select(Passage.id).where(Passage.id.in_(list(wanted)))
            for passage_id in await session.scalars(found):
                del wanted[str(passage_id)]
            await insert_passages(session, archive, list(wanted.values()), [])
            return len(wanted)

        return await in_unit(self._database, change)

    async def _tools(
        self, session: AsyncSession, bundle: AgentBundle, notes: list[str]
    ) -> list[str]:
        names = [tool.name for tool in bundle.tools]
        present = await tool_repository.fetch_named(session, names)
        usable = []
        for tool in bundle.tools:
            if self._catalogue.spec(tool.name) is None and tool.name not in present:
                problem = await _add_tool(session, tool)
                if problem:
                    notes.append(f"{bundle.agent.name}: tool {tool.name!r} {problem}")
                    continue
            usable.append(tool.name)
        return list(dict.fromkeys(usable))

    async def _insert(self, session: AsyncSession, bundle: AgentBundle, tools: list[str]) -> Agent:
        overrides = Overrides(model=bundle.model, embedding=bundle.embedding)
        wanted = contents.new_agent(
            bundle.agent, overrides, lineage=DEFAULT_LINEAGE, default_model=self._default_model
        )
        blocks = list(dict.fromkeys(block.id for block in bundle.blocks))
        wanted = replace(wanted, tools=tools, block_ids=blocks)
        return await insert_agent(session, self._catalogue, wanted, bundle.agent.id)


async def _require_usable(session: AsyncSession, agent_id: str) -> None:
    """An id whose first group names another lineage would lead its turns there."""
    if not is_valid_id(agent_id, "agent"):
        raise BadInputError(f"{agent_id!r} is no id of an agent", field="agent.id")
    await _require_lineage(session, agent_id)


async def _require_lineage(session: AsyncSession, thread_id: str) -> None:
    """What is no id at all is refused where it is used."""
    if not is_valid_id(thread_id, "agent") and not is_valid_id(thread_id, "conv"):
        return
    key = lineage_key(thread_id)
    taken = select(Lineage.name).where(Lineage.key == key, Lineage.key != DEFAULT_LINEAGE_KEY)
    if await session.scalar(taken) is not None:
        raise BadInputError(f"{thread_id} reads as one of another lineage", field="id")


async def _add_tool(session: AsyncSession, tool: FileTool) -> str:
    """Add a tool; returns why it cannot be, if so."""
    if tool.is_of_server:
        return "runs on a server of its own; add that as an MCP server and attach the tool"
    if not tool.source_code or tool.source_type not in (None, "python", "json"):
        return "is not built in here, and has no source in Python"
    fields = contents.tool_fields(tool)
    try:
        derived = derive(fields)
    except BadInputError as error:
        return f"cannot be run here: {error.message}"
    await insert_tool(session, fields, derived)
    return ""


async def _add_blocks(session: AsyncSession, blocks: Sequence[FileBlock]) -> None:
    ids = [block.id for block in blocks]
    present = set(await session.scalars(select(Block.id).where(Block.id.in_(ids))))
    for block in {block.id: block for block in blocks}.values():
        if block.id not in present:
            row = attachments.new_row(contents.new_block(block))
            row.id = block.id
            session.add(row)
    await session.flush()


async def _add_archives(
    session: AsyncSession, bundle: AgentBundle, dimensions: dict[str, int]
) -> None:
    for archive in bundle.archives:
        if await session.get(Archive, archive.id) is None:
            session.add(
                Archive(
                    id=archive.id, name=archive.name, description=archive.description,
                    embedding=_embedding(archive, bundle), dimensions=dimensions[archive.id],
                    meta={},
                )
            )  # fmt: skip
            await session.flush()
    await existing_agent(session, bundle.agent.id)
    if bundle.archives:
        await attach(session, bundle.agent.id, [archive.id for archive in bundle.archives])


def _embedding(archive: TakenArchive, bundle: AgentBundle) -> str:
    return bundle.embedding or archive.embedding or DEFAULT_EMBEDDING


def _name(message: RoleMessage, index: int) -> str:
    """The id that the message had; what else became of it is named after it."""
    if index == 0 and is_valid_id(message.id, "message"):
        return message.id
    return f"message-{uuid.uuid5(_NAMES, f'{message.id}/{index}')}"


def _passage(passage: TakenPassage) -> NewPassage:
    known = is_valid_id(passage.id, "passage")
    name = passage.id if known else f"passage-{uuid.uuid5(_NAMES, passage.id)}"
    return NewPassage(
        passage.text[:MAX_TEXT_CHARACTERS].strip() and passage.text[:MAX_TEXT_CHARACTERS],
        [tag[:100] for tag in passage.tags or []], passage.metadata or {}, passage.created_at, name,
    )  # fmt: skip
