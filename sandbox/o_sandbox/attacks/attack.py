"""What one attack is: hostile code, what it is after, and how its success would show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from o_sandbox.limits import Limits
from o_sandbox.tool import Language, Tier, Tool

GRACE_S = 0.25
"""How much longer than its wall budget a call may take."""
ENTRY = "attack"
"""The function of every payload; takes one argument `t`, what it may aim at (see `canaries`)."""


class Group(StrEnum):
    """What a payload abuses."""

    INTROSPECTION = "introspection"
    IMPORTS = "imports"
    CORRUPTION = "corruption"
    RESOURCES = "resources"
    HOST = "host"
    MODULE = "module"
    CVE = "cve"


class Detector(StrEnum):
    """How success shows. The last three are budgets that were not kept."""

    FILE = "file"
    """The canary file's content came out, or the file was changed."""
    VARIABLE = "variable"
    """The host's canary variable came out."""
    MARKER = "marker"
    """A file was made that only a write to the host, or a process on it, can make."""
    LISTENER = "listener"
    """Something connected to, or sent to, the canary sockets."""
    LEAK = "leak"
    """An argument of an earlier call came out."""
    CLAIM = "claim"
    """The payload did something to the host that only itself can see, and says so."""
    CRASH = "crash"
    """An engine that serves other calls too ended."""
    POISON = "poison"
    """A clean call after it gave a wrong value, or none."""
    TIME = "time"
    """It ran longer than its budget of wall time or of CPU, and the grace."""
    MEMORY = "memory"
    """It held more memory than its budget."""
    OUTPUT = "output"
    """More came out of it than its budget."""


BUDGETS = frozenset({Detector.TIME, Detector.MEMORY, Detector.OUTPUT})
"""What is over budget rather than out of the sandbox."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One payload.

    `fires` are the detectors that must fire when nothing confines it (the control run). A payload
    for another language than Python has none: plain CPython cannot run it.
    """

    id: str
    group: Group
    tries: str
    code: str | bytes
    tiers: frozenset[Tier]
    fires: frozenset[Detector]
    limits: Limits
    language: Language = "python"

    @property
    def bound_s(self) -> float:
        """The longest that a call of it may take, in seconds."""
        return self.limits.wall_s + GRACE_S

    @property
    def family(self) -> str:
        """The file it comes from."""
        return self.id.partition("/")[0]

    def tool(self, tier: Tier) -> Tool:
        """The payload as a tool of `tier`."""
        return Tool("attack", self.code, ENTRY, self.language, tier)
