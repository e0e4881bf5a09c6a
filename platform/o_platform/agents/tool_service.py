"""What can be done with tools that are added over the API, as whole transactions.

A tool's schema is read from its source, which is never executed here. A change of a tool raises the
version of every agent that has it, so the next turn of each runs the new code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict, cast

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_platform.agents import repository as agent_repository
from o_platform.agents import tool_repository as repository
from o_platform.agents.cache import ContextCache
from o_platform.agents.mcp_repository import fetch_tools
from o_platform.agents.paging import Page
from o_platform.agents.tool_repository import ToolFilter
from o_platform.agents.tools import ToolCatalogue
from o_platform.agents.unit import in_unit
from o_platform.db.engine import Database
from o_platform.db.models import McpTool, Tool
from o_platform.errors import BadInputError, ConflictError, NotFoundError
from o_sandbox.authoring import Definition, ToolDefinitionError, describe_function
from o_sandbox.tool import Language, code_of

RETURN_CHARS: Final = 50_000
DEFAULT_TIER: Final = "wasm"
FOREIGN_TIER: Final = "module"


class ToolFields(TypedDict, total=False):
    """What a tool is made of; absent fields stay as they are, or get their default."""

    source_code: str
    description: str
    json_schema: dict[str, Any]
    args_json_schema: dict[str, Any] | None
    tags: list[str]
    tier: str
    language: Language
    grants: list[str]
    return_char_limit: int
    default_requires_approval: bool | None
    enable_parallel_execution: bool
    pip_requirements: list[dict[str, Any]] | None
    npm_requirements: list[dict[str, Any]] | None
    meta: dict[str, Any]


class ToolService:
    """Adds, reads, changes and deletes tools."""

    def __init__(self, database: Database, cache: ContextCache, catalogue: ToolCatalogue) -> None:
        """`catalogue` knows the built-in tools, whose names are taken."""
        self._database = database
        self._cache = cache
        self._catalogue = catalogue

    async def create(self, fields: ToolFields) -> Tool:
        """Add a tool.

        Raises:
            BadInputError: the source defines no tool; says the line and what to change.
            ConflictError: its name is taken.
        """
        derived = self._derived(fields)
        try:
            async with self._database.unit_of_work() as session:
                return await insert_tool(session, fields, derived)
        except IntegrityError as error:
            raise _taken(derived["name"]) from error

    async def upsert(self, fields: ToolFields) -> Tool:
        """Add a tool, or make the one of its name what `fields` say.

        Raises:
            BadInputError: the source defines no tool.
            ConflictError: its name is that of a built-in tool.
        """
        derived = self._derived(fields)
        async with self._database.unit_of_work() as session:
            found = await repository.find_tool(session, derived["name"])
        if found is None:
            return await self.create(fields)
        return await self.update(found.id, fields)

    async def update(self, tool_id: str, fields: ToolFields) -> Tool:
        """Change a tool, also its name, if its source says so.

        Raises:
            NotFoundError: there is none.
            BadInputError: the new source defines no tool.
            ConflictError: its new name is taken.
        """

        async def change(session: AsyncSession) -> tuple[Tool, list[str]]:
            tool = await _locked(session, tool_id)
            merged = cast(ToolFields, {**_present(tool, fields), **fields})
            concerned = await repository.agents_with(session, tool.name)
            await self._change(session, tool, merged)
            await agent_repository.bump_agents(session, concerned)
            await session.refresh(tool)
            return tool, concerned

        try:
            tool, concerned = await in_unit(self._database, change)
        except IntegrityError as error:
            raise ConflictError("another tool has this name") from error
        await self._cache.drop(concerned)
        return tool

    async def delete(self, tool_id: str) -> None:
        """Delete a tool; agents no longer have it.

        Raises:
            NotFoundError: there is none.
        """

        async def change(session: AsyncSession) -> list[str]:
            tool = await _locked(session, tool_id)
            concerned = await repository.agents_with(session, tool.name)
            await repository.take_from_agents(session, tool.name)
            await agent_repository.bump_agents(session, concerned)
            await session.delete(tool)
            return concerned

        await self._cache.drop(await in_unit(self._database, change))

    async def fetch(self, tool_id: str) -> Tool:
        """The tool with this id.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.unit_of_work() as session:
            tool = await repository.fetch_tool(session, tool_id)
        if tool is None:
            raise _unknown(tool_id)
        return tool

    async def list(self, wanted: ToolFilter, page: Page) -> Sequence[Tool]:
        """A page of tools."""
        async with self._database.unit_of_work() as session:
            return await repository.list_tools(session, wanted, page)

    async def named(self, names: Sequence[str]) -> dict[str, Tool]:
        """Those of these names that were added, by name."""
        async with self._database.unit_of_work() as session:
            return await repository.fetch_named(session, names)

    async def _change(self, session: AsyncSession, tool: Tool, fields: ToolFields) -> None:
        derived = self._derived(fields)
        if "grants" in derived:
            derived["grants"] = _widened(tool, derived["grants"])
        if derived["name"] != tool.name:
            await repository.take_from_agents(session, tool.name, derived["name"])
        for name, value in {**_columns(fields), **derived}.items():
            setattr(tool, name, value)
        tool.version += 1
        tool.updated_at = func.now()
        await session.flush()

    def _derived(self, fields: ToolFields) -> dict[str, Any]:
        """Name, schema and code to run, as the source (and a schema that was given) say."""
        derived = derive(fields)
        if self._catalogue.spec(derived["name"]) is not None:
            raise _taken(derived["name"])
        return derived


def derive(fields: ToolFields) -> dict[str, Any]:
    """The columns that follow from a tool's source and from a schema that was given.

    Among them `grants`, if none are given and a parameter of the source needs some.

    Raises:
        BadInputError: the source defines no tool; says the line and what to change.
    """
    if fields.get("language", "python") != "python":
        return _derive_foreign(fields)
    given = fields.get("json_schema") or {}
    source = fields["source_code"]
    name = str(given.get("name") or "")
    parameters = given.get("parameters") or fields.get("args_json_schema")
    try:
        definition = describe_function(
            source, name, needs_text=not _says_enough(fields), given=parameters
        )
    except ToolDefinitionError as error:
        raise BadInputError(f"source_code: {error}", field="source_code") from None
    tier = _tier(fields, definition)
    if definition.needs and tier != DEFAULT_TIER:
        raise BadInputError(
            f"`agent_state` is filled in for tools of the tier `{DEFAULT_TIER}`, not of `{tier}`; "
            "take the parameter out, and use `o.memory.read` and `o.memory.write`",
            field="tier",
        )
    described = str(given.get("description") or fields.get("description") or "")
    schema = {
        "name": definition.name,
        "description": described or definition.description,
        "parameters": definition.parameters,
    }
    return {
        "name": definition.name, "description": schema["description"], "json_schema": schema,
        "code": definition.code(source), "entry": definition.entry, "source_code": source,
        "tier": tier, "language": "python", **_implied(fields, definition),
    }  # fmt: skip


def _derive_foreign(fields: ToolFields) -> dict[str, Any]:
    """Of a tool that is not written in Python, the schema says everything."""
    given, source = fields.get("json_schema") or {}, fields["source_code"]
    language, name = fields["language"], str(given.get("name") or "")
    says = str(given.get("description") or fields.get("description") or "")
    if not name.isidentifier() or not says or not isinstance(given.get("parameters"), dict):
        raise BadInputError(
            f"a tool in {language} needs a json_schema with `name` (the function's), `description` "
            "and `parameters`, since none can be read from its source",
            field="json_schema",
        )
    if fields.get("tier") not in (None, FOREIGN_TIER):
        raise BadInputError(f"a tool in {language} runs in the tier `module`", field="tier")
    try:
        code_of(source, language)
    except ValueError as error:
        raise BadInputError(f"source_code: no base64: {error}", field="source_code") from None
    schema = {"name": name, "description": says, "parameters": given["parameters"]}
    return {
        "name": name, "description": says, "json_schema": schema, "code": source, "entry": name,
        "source_code": source, "tier": FOREIGN_TIER, "language": language,
    }  # fmt: skip


async def resolve_tools(
    session: AsyncSession, catalogue: ToolCatalogue, names: Sequence[str], ids: Sequence[str]
) -> list[str]:
    """The names that these names and ids stand for, each once, in order.

    A tool of an MCP server is named by its id: several servers may call one alike.

    Raises:
        NotFoundError: one of them is neither built in nor added.
        ConflictError: two of them have one name.
    """
    unknown = [name for name in names if catalogue.spec(name) is None]
    added = await repository.fetch_named(session, unknown) if unknown else {}
    strange = [one for one in ids if catalogue.name_of(one) is None]
    by_id = await repository.fetch_many(session, strange) if strange else {}
    foreign = [one for one in strange if one not in by_id]
    of_servers = await fetch_tools(session, foreign) if foreign else {}
    resolved = [name if name in added else catalogue.known(name) for name in names]
    for one in ids:
        if one in of_servers:
            resolved.append(one)
        else:
            resolved.append(by_id[one].name if one in by_id else catalogue.named(one))
    require_distinct(resolved, of_servers)
    return list(dict.fromkeys(resolved))


def require_distinct(resolved: Sequence[str], of_servers: Mapping[str, McpTool]) -> None:
    """Refuse tools that the model could not tell apart.

    Raises:
        ConflictError: two of them have one name.
    """
    shown = [of_servers[one].name if one in of_servers else one for one in dict.fromkeys(resolved)]
    twice = {name for name in shown if shown.count(name) > 1}
    if twice:
        raise ConflictError(f"two of the tools are called {twice.pop()!r}; give only one of them")


def _implied(fields: ToolFields, definition: Definition) -> dict[str, Any]:
    if not definition.needs or "grants" in fields:
        return {}
    return {"grants": list(definition.needs)}


def _widened(tool: Tool, needed: list[str]) -> list[str]:
    """A tool's grants with those that its new source needs and its present one does not.

    So what was taken from it stays taken when its source is sent again.
    """
    known = derive(_present(tool, {})).get("grants", ())
    missing = [grant for grant in needed if grant not in known and grant not in tool.grants]
    return [*tool.grants, *missing]


def _tier(fields: ToolFields, definition: Definition) -> str:
    return fields.get("tier") or definition.tier or DEFAULT_TIER


def _says_enough(fields: ToolFields) -> bool:
    given = fields.get("json_schema") or {}
    return bool(fields.get("description") or given.get("description"))


async def insert_tool(session: AsyncSession, fields: ToolFields, derived: dict[str, Any]) -> Tool:
    """The row of a new tool; `derived` is what `derive` says of `fields`."""
    defaults: dict[str, Any] = {
        "tags": [], "grants": [], "return_char_limit": RETURN_CHARS, "meta": {},
        "enable_parallel_execution": False,
    }  # fmt: skip
    tool = Tool(id=new_id("tool"), **{**defaults, **_columns(fields), **derived})
    session.add(tool)
    await session.flush()
    await session.refresh(tool)
    return tool


def _columns(fields: ToolFields) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "json_schema"}


def _present(tool: Tool, fields: ToolFields) -> ToolFields:
    """What the tool has that a change of its source must not lose."""
    kept: ToolFields = {"source_code": tool.source_code}
    language = fields.get("language", tool.language)
    if language == tool.language:
        kept["tier"], kept["language"] = tool.tier, tool.language  # type: ignore[typeddict-item]
    if tool.args_json_schema is not None:
        kept["args_json_schema"] = tool.args_json_schema
    if "source_code" not in fields or language != "python":
        hidden = {"description"} & fields.keys()
        if "args_json_schema" in fields:
            hidden |= {"parameters"}
        kept["json_schema"] = {k: v for k, v in tool.json_schema.items() if k not in hidden}
    return kept


async def _locked(session: AsyncSession, tool_id: str) -> Tool:
    tool = await repository.lock_tool(session, tool_id)
    if tool is None:
        raise _unknown(tool_id)
    return tool


def _unknown(tool_id: str) -> NotFoundError:
    return NotFoundError(f"no tool has the id {tool_id!r}", tool_id=tool_id)


def _taken(name: str) -> ConflictError:
    return ConflictError(
        f"a tool named {name!r} exists; give the function another name, or upsert it", name=name
    )
