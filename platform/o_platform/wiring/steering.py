"""Rollouts without what carries them out: container engine, workflows, statistics.

It is for a control plane that was just started and has not built those yet. What an operator wants
is in the row and, for an abort, in force at Envoy when the call returns. The rest is carried out
by what finds the row once it is built.
"""

from __future__ import annotations

from o_platform.clock import SystemClock
from o_platform.db.engine import Database
from o_platform.rollout.service import RolloutService
from o_platform.rollout.signals import Signals
from o_platform.settings import Settings
from o_platform.traffic.controller import TrafficController


def steering(database: Database, settings: Settings) -> RolloutService:
    """Steers rollouts whose workflows run elsewhere.

    Raises:
        SetupError: the signing key cannot be read.
    """
    traffic = TrafficController(database, settings)
    return RolloutService(
        database, traffic, Signals(), SystemClock(), begin=_left_to_leader, wake=_left_to_leader
    )


async def _left_to_leader(rollout_id: str) -> None:
    """Its sweep starts workflows that are missing and wakes those with a wish to carry out."""
