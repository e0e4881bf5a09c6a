"""Puts the controller of rollouts together, with its gates and their statistics."""

from __future__ import annotations

from o_platform.clock import Clock
from o_platform.db.engine import Database
from o_platform.rollout.controller import RolloutController
from o_platform.rollout.enforcement import Enforcer
from o_platform.rollout.gates.live import LiveGates
from o_platform.rollout.gates.suite import GateSuite
from o_platform.rollout.observations import ObservationHub
from o_platform.rollout.ports import FleetPort, TrafficPort
from o_platform.rollout.signals import Signals
from o_platform.settings import Settings


def build_controller(
    database: Database,
    fleet: FleetPort,
    traffic: TrafficPort,
    settings: Settings,
    hub: ObservationHub,
    signals: Signals,
    clock: Clock,
) -> RolloutController:
    """The controller on these parts; nothing is started."""
    suite = GateSuite(database, fleet, traffic, hub, settings)
    live = LiveGates(database, fleet, hub, suite, settings)
    enforcer = Enforcer(database, fleet, traffic)
    return RolloutController(database, enforcer, suite, live, hub, signals, clock)
