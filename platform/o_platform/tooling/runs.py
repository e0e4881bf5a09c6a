"""Tools run outside of turns: source that is tried out, and an agent's tool called over the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from o_contracts.messages import ToolCode
from o_platform.agents.agent_views import AgentView
from o_platform.agents.block_service import BlockService
from o_platform.agents.inputs import Author
from o_platform.agents.tool_service import ToolFields, derive
from o_platform.errors import BadInputError, NotOfferedError, UnavailableError
from o_platform.tooling.agent_calls import AgentCalls, without_agent
from o_platform.tooling.fetch import Fetcher
from o_platform.tooling.local import local_grants
from o_sandbox.authoring import ToolDefinitionError, describe_function
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import HostFunction, Sandbox, SandboxError
from o_sandbox.tool import Language, Tier, code_of
from o_sandbox.tool import Tool as SandboxTool
from o_tools.sandboxed import SANDBOXED

LIMITS: Final = Limits(wall_s=30.0, cpu_s=10.0)


class ToolRuns:
    """Runs tools in sandboxes of the control plane."""

    def __init__(self, sandbox: Sandbox, fetcher: Fetcher, blocks: BlockService) -> None:
        """`fetcher` makes the requests that a tool's grants allow, `blocks` its edits of memory."""
        self._sandbox = sandbox
        self._blocks = blocks
        self._fetcher = fetcher

    async def run_source(
        self,
        source: str,
        arguments: Mapping[str, Any],
        name: str,
        tier: Tier | None,
        language: Language,
    ) -> Outcome:
        """Run source once; it is granted waiting and nothing else, and has no agent.

        Args:
            source: text; a binary in base64.
            arguments: checked if the source says what they must be.
            name: the function to call; of Python it may be empty if there is one only.
            tier: the sandbox; None for what the source says, or the language needs.
            language: of the source.

        Raises:
            BadInputError: it defines no tool, or the arguments do not fit.
            UnavailableError: there is no sandbox of this tier.
        """
        if language != "python" and not name.isidentifier():
            raise BadInputError(
                f"say which function of the {language} source to call, in `name`", field="name"
            )
        fields: ToolFields = {
            "source_code": source,
            "language": language,
            "json_schema": {"name": name, "description": "-", "parameters": {}},
        }
        if tier is not None:
            fields["tier"] = tier
        derived = derive(fields)
        tool = SandboxTool(
            derived["name"],
            code_of(derived["code"], language),
            derived["entry"],
            language,
            derived["tier"],
        )
        is_python = language == "python"
        checked = _checked(source, tool.name, arguments) if is_python else dict(arguments)
        grants = local_grants(["o.sleep"], {}, self._fetcher)
        return await self._run(tool, checked, grants | without_agent())

    async def run_of_agent(
        self,
        view: AgentView,
        name: str,
        arguments: Mapping[str, Any],
        secrets: Mapping[str, str],
        author: Author,
    ) -> Outcome:
        """Run a tool of an agent that runs in a sandbox, with its grants and the agent's secrets.

        `author` is whom the history of the agent's blocks names for what the tool writes.

        Raises:
            NotOfferedError: the tool is the bridge's: those work on a turn.
            BadInputError: the arguments do not fit.
            UnavailableError: there is no sandbox of its tier.
        """
        code, source = _code(view, name)
        tool = SandboxTool(
            name, code_of(code.source, code.language), code.entry, code.language, code.tier
        )
        is_python = code.language == "python"
        checked = _checked(source, name, arguments) if is_python else dict(arguments)
        calls = AgentCalls(view, name, self._blocks, author).granted(code.grants)
        grants = local_grants(code.grants, secrets, self._fetcher)
        return await self._run(tool, checked, grants | calls)

    async def _run(
        self, code: SandboxTool, arguments: dict[str, Any], grants: dict[str, HostFunction]
    ) -> Outcome:
        try:
            return await self._sandbox.run(code, arguments, LIMITS, grants)
        except SandboxError as error:
            raise UnavailableError(f"the tool could not be run: {error}") from error


def _code(view: AgentView, name: str) -> tuple[ToolCode, str]:
    """What is run for an agent's tool, and the source that says what its arguments are."""
    built_in = SANDBOXED.get(name)
    if built_in is not None and built_in.code is not None:
        return built_in.code, built_in.code.source
    tool = view.tools.get(name)
    if tool is None:
        raise NotOfferedError(
            f"{name} is built in and works on a turn; send the agent a message instead"
        )
    columns = {
        "source": tool.code, "entry": tool.entry, "tier": tool.tier, "language": tool.language,
        "grants": tool.grants,
    }  # fmt: skip
    return msgspec.convert(columns, ToolCode), tool.source_code


def _checked(source: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        definition = describe_function(source, name, needs_text=False)
    except ToolDefinitionError:
        return dict(arguments)  # it has a schema of its own
    try:
        return definition.checked(msgspec.json.encode(dict(arguments)))
    except msgspec.MsgspecError as error:
        raise BadInputError(f"args do not fit {name}: {error}", field="args") from None
