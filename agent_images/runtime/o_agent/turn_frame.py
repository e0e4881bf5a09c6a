"""What a step loop is given: an opened turn, what the client asked for, and who watches it run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from o_agent.approvals import Answers, Pending
from o_agent.bridge_client import BridgeClient
from o_agent.context import CompiledContext, ContextCompiler
from o_agent.genome import Genome
from o_agent.message_ids import TurnIds
from o_agent.tool_runner import ToolRunner
from o_contracts.llm import LlmDelta
from o_contracts.messages import Message
from o_contracts.turns import ClientTool


class Sink(Protocol):
    """Who watches a turn while it runs (a stream)."""

    @property
    def wants_tokens(self) -> bool:
        """Whether deltas are wanted, too."""

    def resume(self, events: Sequence[str]) -> None:
        """Another worker has sent these events of the turn."""

    async def opened(self, run_id: str) -> None:
        """The turn has begun, or begun again."""

    async def delta(self, place: DeltaPlace, delta: LlmDelta) -> None:
        """A piece of the reply that is being made."""

    async def message(self, message: Message) -> None:
        """A message is complete."""


@dataclass(frozen=True, slots=True)
class DeltaPlace:
    """Where the pieces of a reply belong: ids and date of the messages it will become.

    Calls of the tools `gated` become part of an approval_request_message.
    """

    ids: TurnIds
    step: int
    step_id: str
    run_id: str
    date_us: int
    gated: frozenset[str] = frozenset()


@dataclass(slots=True)
class TurnFrame:
    """What a step loop is given: the opened turn and what the client asked for.

    `context` is what the model sees; `system` the agent's own prompt in it, or what overrides it.
    """

    bridge: BridgeClient
    genome: Genome
    compiler: ContextCompiler
    tools: ToolRunner
    context: CompiledContext
    system: str
    ids: TurnIds
    token: int
    run_id: str
    model: str
    max_steps: int
    sink: Sink | None = None
    client_tools: Sequence[ClientTool] = ()
    pending: Pending | None = None
    answers: Answers | None = None
    tells_compaction: bool = False

    @property
    def gated(self) -> frozenset[str]:
        """Tools whose calls the client must answer."""
        gated = self.context.toolbox.rules.gated
        return gated.union(tool.name for tool in self.client_tools) if self.client_tools else gated
