"""What one call of a tool may use."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Bounds of one call; reaching one ends the call with the reason of that name.

    `wall_s` and `cpu_s` in seconds (> 0), `memory_bytes` for the guest's memory, `output_bytes`
    for stdout, stderr and the value together, `host_calls` for how often it may call the host,
    `scratch_bytes` for what the folder that the grant `scratch` gives may hold (in the tier
    `container`, for each of its files).
    """

    wall_s: float = 10.0
    cpu_s: float = 5.0
    memory_bytes: int = 128 * 1024 * 1024
    output_bytes: int = 256 * 1024
    host_calls: int = 100
    scratch_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse bounds that nothing can keep.

        Raises:
            ValueError: a bound that is not positive (`host_calls` and `scratch_bytes` may be 0).
        """
        for name in ("wall_s", "cpu_s", "memory_bytes", "output_bytes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("host_calls", "scratch_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
