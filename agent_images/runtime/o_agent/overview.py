"""An agent's context window by part, exactly as the next turn would compile it."""

from __future__ import annotations

from typing import Any

import msgspec

from o_agent.bridge_client import BridgeClient
from o_agent.context import CompiledContext, ContextCompiler, render_memory, render_metadata
from o_agent.genome import Genome
from o_agent.llm_messages import Unit, decode_messages
from o_agent.tool_rules import parse_rules, render_rules
from o_contracts import bridge
from o_contracts.llm import LlmMessage

_found_decoder = msgspec.msgpack.Decoder(bridge.ContextFound)
_count_decoder = msgspec.msgpack.Decoder(bridge.TokensCounted)


class Overview:
    """Reads agents without opening turns."""

    def __init__(self, client: BridgeClient, genome: Genome, compiler: ContextCompiler) -> None:
        """`compiler` compiles by the rules of `genome`."""
        self._bridge = client
        self._genome = genome
        self._compiler = compiler

    async def prompt(self, thread_id: str) -> str:
        """The whole system prompt.

        Raises:
            ConnectionLost, BridgeError: there is no such agent, or the bridge is away.
        """
        compiled = self._compiler.compile((await self._read(thread_id)).context)
        return _complete(compiled)

    async def window(self, thread_id: str) -> dict[str, Any]:
        """The window's parts and their tokens, in the API's words.

        Raises:
            ConnectionLost, BridgeError: there is no such agent, or the bridge is away.
        """
        found = await self._read(thread_id)
        compiled = self._compiler.compile(found.context)
        parts = self._texts(compiled)
        window = compiled.window
        units = window.units[1:] if window.begins_with_summary else window.units
        texts = [*parts.values(), *(_text(m) for m in _messages(units))]
        asked = bridge.TokensCount(compiled.agent.model, texts)
        counted = (await self._bridge.ask(bridge.TOKENS_COUNT, asked, _count_decoder)).tokens
        tokens = dict(zip(parts, counted, strict=False))
        return {
            "context_window_size_max": found.context.context_window,
            "context_window_size_current": sum(counted),
            "num_messages": window.shown,
            "num_archival_memory": found.archival_count,
            "num_recall_memory": found.recall_count,
            "num_tokens_messages": sum(counted[len(parts) :]),
            "messages": [_shown(unit, found.context.agent_id) for unit in units],
            "functions_definitions": [_function(t) for t in compiled.toolbox.tools],
            "memory_filesystem": None,
            "num_tokens_memory_filesystem": 0,
            "directories": None,
            "num_tokens_directories": 0,
            **{f"num_tokens_{name}": tokens[name] for name in parts},
            "system_prompt": parts["system"],
            "core_memory": parts["core_memory"],
            "external_memory_summary": parts["external_memory_summary"],
            "tool_usage_rules": parts["tool_usage_rules"] or None,
            "summary_memory": parts["summary_memory"] or None,
        }

    def _texts(self, compiled: CompiledContext) -> dict[str, str]:
        agent, window = compiled.agent, compiled.window
        bare = self._genome.template.render(agent.system, "").complete("")
        tools = msgspec.json.encode([_function(tool) for tool in compiled.toolbox.tools]).decode()
        rules = render_rules(parse_rules(agent.tool_rules)) if agent.tool_rules else ""
        summary = _messages(window.units[:1])[0] if window.begins_with_summary else None
        return {
            "system": bare.strip(),
            "core_memory": render_memory(agent.blocks, self._genome.policy),
            "external_memory_summary": render_metadata(agent, window.earlier_messages),
            "tool_usage_rules": rules,
            "summary_memory": "" if summary is None else _text(summary),
            "functions_definitions": tools if compiled.toolbox.tools else "",
        }

    async def _read(self, thread_id: str) -> bridge.ContextFound:
        asked = bridge.ContextRead(thread_id, self._compiler.history)
        return await self._bridge.ask(bridge.CONTEXT_READ, asked, _found_decoder)


def _complete(compiled: CompiledContext) -> str:
    earlier = compiled.window.earlier_messages
    return compiled.prompt.complete(render_metadata(compiled.agent, earlier))


def _messages(units: list[Unit]) -> list[LlmMessage]:
    return decode_messages([unit.raw for unit in units])


def _text(message: LlmMessage) -> str:
    content = message.content
    said = content if isinstance(content, str) else msgspec.json.encode(content or "").decode()
    calls = "".join(f"{call.name}{call.arguments}" for call in message.tool_calls or ())
    return said + calls


def _shown(unit: Unit, agent_id: str) -> dict[str, Any]:
    (message,) = _messages([unit])
    content = message.content
    if not isinstance(content, list):
        content = [{"type": "text", "text": content}] if content else []
    calls = [
        {
            "id": call.tool_call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in message.tool_calls or ()
    ]
    return {
        "id": unit.first_id,
        "agent_id": agent_id,
        "role": message.role,
        "content": content,
        "tool_calls": calls or None,
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }


def _function(tool: Any) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}
