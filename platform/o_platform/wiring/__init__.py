"""Builds the platform from its settings: the one place that chooses adapters.

The parts that serve agents are built at once; those that deliver variants import the container
engine's client, DBOS and statistics, and are built in the background after the socket answers.
"""

from o_platform.wiring.parts import Platform, build_platform

__all__ = ["Platform", "build_platform"]
