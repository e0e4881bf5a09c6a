"""What an engine process is told when it starts."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from o_sandbox.jail import Layer, LayerName

Guests = Literal["python", "modules"]


class EngineSettings(Struct, frozen=True):
    """Everything about one engine, passed as JSON on its command line.

    `idle` instances wait for a call; at most `calls` run at once. `memory_bytes` is the most that a
    call may ask for, `resident_bytes` how much of a dropped instance's memory is cleaned by copying
    instead of being given back. `tick_s` is how often a running guest is looked at. `required`
    names the layers of the jail without which it must not serve. `packages` is a folder of
    pure-Python packages, which Python tools may read and import.
    """

    cache: str
    guests: Guests = "python"
    idle: int = 8
    calls: int = 16
    memory_bytes: int = 512 * 1024 * 1024
    resident_bytes: int = 0
    tick_s: float = 0.01
    packages: str | None = None
    required: frozenset[LayerName] = frozenset({"rlimits", "landlock", "seccomp"})

    def to_json(self) -> str:
        """For the command line."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> EngineSettings:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


class Ready(Struct, frozen=True):
    """What an engine says when it serves: the layers of its jail, and how long the start took."""

    layers: list[Layer]
    load_s: float
