"""How much clients ask of the control plane, which background work gives way to."""

from __future__ import annotations


class Demand:
    """Counts requests."""

    __slots__ = ("requests",)

    def __init__(self) -> None:
        """None yet."""
        self.requests = 0
        """Those that have begun since the process did; never less than before."""
