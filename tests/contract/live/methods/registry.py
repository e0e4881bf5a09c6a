"""Drivers by the method they drive, and what they are given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from letta_client import Letta
from letta_client._resource import SyncAPIResource
from letta_client.types import AgentState
from tests.contract.live.conftest import Live

TOOL = '''
def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Args:
        a: the first
        b: the second
    """
    return a + b
'''
NOT_RESOURCES = frozenset(
    {
        "close", "copy", "delete", "get", "get_api_list", "is_closed", "patch", "platform_headers",
        "post", "put", "request",
    }
)  # fmt: skip
"""Methods of the client itself that call nothing of their own."""


@dataclass
class World:
    """A running platform and the SDK on it; every driver makes what it needs."""

    letta: Letta
    live: Live
    made: list[str] = field(default_factory=list)

    def agent(self, **fields: Any) -> AgentState:
        fields.setdefault("model", "o/echo")
        agent = self.letta.agents.create(**fields)
        self.made.append(agent.id)
        return agent

    def run(self, agent_id: str, text: str = "hello") -> str:
        """Id of the run of one turn."""
        turn = self.letta.agents.messages.create(agent_id, input=text)
        assert turn.usage.run_ids
        return turn.usage.run_ids[0]


Drive = Callable[[World], None]


@dataclass(frozen=True)
class Driver:
    """`differs` says how ours is not as the retired server's, for the compatibility table."""

    drive: Drive
    differs: str = ""


DRIVERS: dict[str, Driver] = {}


def drives(method: str, *, differs: str = "") -> Callable[[Drive], Drive]:
    """Register the driver of a method."""

    def register(drive: Drive) -> Drive:
        assert method not in DRIVERS, method
        DRIVERS[method] = Driver(drive, differs)
        return drive

    return register


def refused(method: str, call: Callable[[Letta], object]) -> None:
    """Register a method of which no more is expected than to be refused."""

    def drive(world: World) -> None:
        call(world.letta)

    drives(method)(drive)


def sdk_methods() -> list[str]:
    """Every method of the SDK that calls the server, as `resource.method`."""
    with Letta(base_url="http://nowhere", api_key="none") as client:
        return sorted(set(_methods(client, "")) - NOT_RESOURCES)


def _methods(resource: object, prefix: str) -> Iterator[str]:
    for name in dir(type(resource)):
        static = inspect.getattr_static(type(resource), name)
        if name.startswith(("_", "with_")):
            continue
        if isinstance(static, cached_property):
            value = getattr(resource, name)
            if isinstance(value, SyncAPIResource):
                yield from _methods(value, f"{prefix}{name}.")
        elif inspect.isfunction(static):
            yield prefix + name
