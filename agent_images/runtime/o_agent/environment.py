"""The four variables an instance is started with; everything else of the environment is dropped."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

AGENT_SOCKET = "O_AGENT_SOCKET"
BRIDGE_SOCKET = "O_BRIDGE_SOCKET"
GENOME = "O_GENOME"
VARIANT = "O_VARIANT"


class EnvironmentProblem(Exception):
    """A variable the instance needs is missing or empty."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the instance listens, where its bridge is, and which genome it runs."""

    agent_socket: Path
    bridge_socket: Path
    genome: Path
    variant: str


def take_environment(variables: MutableMapping[str, str] = os.environ) -> Environment:
    """Read the four variables and forget all others, so that no genome can see them.

    Raises:
        EnvironmentProblem: one of the four is missing or empty.
    """
    values = {
        name: variables.get(name, "") for name in (AGENT_SOCKET, BRIDGE_SOCKET, GENOME, VARIANT)
    }
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise EnvironmentProblem(f"set {', '.join(missing)}: an instance is started with all four")
    for name in set(variables) - set(values):
        del variables[name]
    return Environment(
        Path(values[AGENT_SOCKET]),
        Path(values[BRIDGE_SOCKET]),
        Path(values[GENOME]),
        values[VARIANT],
    )
