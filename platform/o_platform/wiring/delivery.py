"""The parts that deliver variants, above routes and instances: rollouts, evolution, workflows.

They import DBOS, so this module is imported in the background, while instances come up.
"""

from __future__ import annotations

from dataclasses import dataclass

from o_platform.clock import SystemClock
from o_platform.db.engine import Database
from o_platform.evolution import workflow as evolution_workflow
from o_platform.evolution.service import EvolutionService
from o_platform.rollout.service import RolloutService
from o_platform.rollout.workflow import RolloutRuntime, connect_rollouts
from o_platform.runtimes.fleet import Fleet
from o_platform.settings import Settings
from o_platform.traffic.controller import TrafficController
from o_platform.wiring.completion import Completion
from o_platform.wiring.durable import Workflows


@dataclass(frozen=True, slots=True)
class Delivery:
    """Everything that delivers variants."""

    completion: Completion
    rollout_runtime: RolloutRuntime
    evolution: EvolutionService
    workflows: Workflows

    @property
    def rollouts(self) -> RolloutService:
        """Starts, steers and shows rollouts."""
        return self.rollout_runtime.service

    async def start_cycle(self, lineage: str, policy: str) -> str:
        """Start one cycle of evolution; the id of its attempt.

        Raises:
            ConflictError: the lineage has an open attempt.
            NotFoundError: unknown lineage.
            BadInputError: unknown policy.
        """
        return await evolution_workflow.start_cycle(lineage, policy)

    async def close(self) -> None:
        """Stop workflows where they are, and let go of the models."""
        await self.workflows.close()
        await self.completion.close()


async def build_delivery(
    settings: Settings, database: Database, traffic: TrafficController, fleet: Fleet
) -> Delivery:
    """Build everything; nothing is started yet.

    Raises:
        SetupError: a script cannot be read.
    """
    completion = Completion(database, settings)
    rollout_runtime = await connect_rollouts(database, fleet, traffic, settings)
    evolution = EvolutionService(
        database, rollout_runtime.service, completion, SystemClock(), settings.evolution_model
    )
    evolution_workflow.connect(evolution)
    return Delivery(completion, rollout_runtime, evolution, Workflows(database.url))
