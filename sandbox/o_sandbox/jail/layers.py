"""The layers of a jail by name, and whether each holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

LayerName = Literal["rlimits", "namespaces", "capabilities", "landlock", "seccomp"]


class JailError(Exception):
    """A process cannot be confined as it must be; the message names the layers and the cause."""


class Layer(Struct, frozen=True):
    """Whether a layer holds here, and what of it (a version, a limit) or why not."""

    name: LayerName
    holds: bool
    detail: str = ""


def missing(layers: Iterable[Layer]) -> list[Layer]:
    """Those that do not hold."""
    return [layer for layer in layers if not layer.holds]


def require(layers: Iterable[Layer], wanted: Iterable[LayerName]) -> None:
    """Refuse to go on without the layers that a policy insists on.

    Raises:
        JailError: one of `wanted` does not hold.
    """
    lacking = [layer for layer in missing(layers) if layer.name in set(wanted)]
    if lacking:
        said = "; ".join(f"{layer.name}: {layer.detail}" for layer in lacking)
        raise JailError(
            f"this machine cannot confine tools as required ({said}); use a kernel that offers "
            "these layers, or allow to go on without them"
        )
