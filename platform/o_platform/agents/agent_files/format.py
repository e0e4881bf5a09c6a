"""What stands in an agent file, in both of its forms.

The present form has lists of agents, blocks, tools and more that refer to each other by ids of the
file's own (`agent-0`, `block-3`). The older one is a single agent with its blocks and tools inside;
it is rewritten into the present form before it is read.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from o_platform.agents.agent_files.role_messages import RoleMessage
from o_platform.agents.defaults import (
    DEFAULT_AGENT_TYPE,
    DEFAULT_BLOCK_LIMIT,
    AgentType,
    RuleType,
)
from o_platform.errors import BadInputError

_MOST_PROBLEMS: Final = 5
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
RULE_TYPES: Final = frozenset(get_args(RuleType))


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class FileModel(_Part):
    """The model of an agent, in the deprecated form."""

    handle: str | None = None
    model: str | None = None
    model_endpoint_type: str | None = None
    context_window: Count | None = None
    temperature: float | None = None
    max_tokens: Count | None = None
    parallel_tool_calls: bool | None = None

    def named(self) -> str | None:
        """The model as `provider/model`."""
        if self.handle is None and self.model and self.model_endpoint_type:
            return f"{self.model_endpoint_type}/{self.model}"
        return self.handle


class FileEmbedding(_Part):
    """The embedding model of an agent, in the deprecated form."""

    handle: str | None = None


class FileBlock(_Part):
    """A memory block."""

    id: str
    label: Name
    value: str
    limit: Annotated[int, Field(ge=1, le=2**31 - 1)] = DEFAULT_BLOCK_LIMIT
    description: str | None = None
    read_only: bool = False
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None


class FileTool(_Part):
    """A tool: built in under its name, or with its source."""

    id: str
    name: Name
    tool_type: str = "custom"
    source_type: str | None = None
    source_code: str | None = None
    description: str | None = None
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    tags: list[str] | None = None
    return_char_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    pip_requirements: list[dict[str, Any]] | None = None
    npm_requirements: list[dict[str, Any]] | None = None
    metadata_: dict[str, Any] | None = None

    @property
    def is_of_server(self) -> bool:
        """Whether a server outside runs it; its source then only says so."""
        return self.tool_type.startswith("external_")


class FileAgent(_Part):
    """An agent with its messages."""

    id: str
    name: Name
    agent_type: AgentType = DEFAULT_AGENT_TYPE
    system: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    tags: list[Name] | None = None
    tools: list[str] | None = None
    tool_ids: list[str] | None = None
    block_ids: list[str] | None = None
    tool_rules: list[dict[str, Any]] | None = None
    model: str | None = None
    model_settings: dict[str, Any] | None = None
    llm_config: FileModel | None = None
    embedding: str | None = None
    embedding_config: FileEmbedding | None = None
    context_window_limit: Count | None = None
    compaction_settings: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    message_buffer_autoclear: bool | None = None
    enable_sleeptime: bool | None = None
    max_files_open: Count | None = None
    per_file_view_window_char_limit: Count | None = None
    hidden: bool | None = None
    timezone: str | None = None
    messages: list[RoleMessage] = []
    tool_exec_environment_variables: dict[str, Any] | list[dict[str, Any]] | None = None
    secrets: dict[str, Any] | None = None

    def secret_names(self) -> list[str]:
        """Names of the secrets that it had."""
        given = self.tool_exec_environment_variables or {}
        if isinstance(given, list):
            return list(dict.fromkeys(str(one.get("key", "")) for one in given))
        return list(dict.fromkeys([*given, *(self.secrets or {})]))


COMPANIONS = frozenset({"sleeptime", "voice_sleeptime"})
"""Types of groups that are an agent and the companion that keeps its memory."""


class FileManager(_Part):
    """How a group is managed."""

    manager_type: str = ""
    manager_agent_id: str | None = None
    sleeptime_agent_frequency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class FileGroup(_Part):
    """A group of agents of the file."""

    agent_ids: list[str] = []
    manager_config: FileManager = FileManager()

    @property
    def is_of_companion(self) -> bool:
        """Whether it is an agent and the companion that keeps its memory."""
        config = self.manager_config
        is_sleeptime = config.manager_type in COMPANIONS
        return is_sleeptime and config.manager_agent_id is not None and len(self.agent_ids) == 1


class AgentFile(_Part):
    """A whole agent file."""

    agents: Annotated[list[FileAgent], Field(min_length=1)]
    blocks: list[FileBlock] = []
    tools: list[FileTool] = []
    groups: list[FileGroup] = []
    files: list[dict[str, Any]] = []
    sources: list[dict[str, Any]] = []
    mcp_servers: list[dict[str, Any]] = []


def read_file(data: bytes) -> AgentFile:
    """The agent file in these bytes.

    Raises:
        BadInputError: it is none; says what is wrong and where.
    """
    document = _json(data)
    if isinstance(document, str):  # what the SDK's export gives, written by way of `json.dump`
        document = _json(document)
    if not isinstance(document, dict):
        raise BadInputError("an agent file is a JSON object; this is none", field="file")
    if "agents" not in document and "core_memory" in document:
        document = _from_older_form(document)
    try:
        return AgentFile.model_validate(storable(document))
    except ValidationError as error:
        raise BadInputError(f"the agent file is wrong: {problems(error)}", field="file") from None


def _json(data: bytes | str) -> Any:
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"the agent file is not JSON: {error}", field="file") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def storable(value: Any) -> Any:
    """The same JSON with characters that PostgreSQL cannot keep replaced."""
    if isinstance(value, str):
        value = value.replace("\x00", _REPLACEMENT)
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(key): storable(one) for key, one in value.items()}
    return value


def problems(error: ValidationError) -> str:
    """What is wrong and where, in a sentence."""
    found = [
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:_MOST_PROBLEMS]
    ]
    more = error.error_count() - len(found)
    return "; ".join(found) + (f"; and {more} more" if more > 0 else "")


def _from_older_form(document: dict[str, Any]) -> dict[str, Any]:
    blocks = _numbered("block", document.get("core_memory"))
    tools = _numbered("tool", document.get("tools"))
    agent = {key: value for key, value in document.items() if key not in ("tools", "core_memory")}
    agent |= {
        "id": "agent-0",
        "metadata": document.get("metadata_"),
        "block_ids": [block["id"] for block in blocks],
        "tool_ids": [tool["id"] for tool in tools],
    }
    return {"agents": [agent], "blocks": blocks, "tools": tools}


def _numbered(kind: str, found: Any) -> list[dict[str, Any]]:
    given = found if isinstance(found, list) else []
    return [
        {**one, "id": f"{kind}-{index}"} for index, one in enumerate(given) if isinstance(one, dict)
    ]
