"""What compiled code depends on besides its source; known without loading Wasmtime."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from typing import Final

TARGETS: Final = {
    "x86_64": "x86_64-unknown-linux-gnu",
    "aarch64": "aarch64-unknown-linux-gnu",
}
_RECIPE: Final = "2"
"""Changes when `configuration` must give other compiled code, or entries another digest."""


def target() -> str:
    """What code is compiled for.

    Raises:
        KeyError: a machine that Wasmtime does not compile for.
    """
    return TARGETS[platform.machine()]


def key() -> str:
    """Names everything that compiled code depends on besides its source."""
    parts = (version("wasmtime"), target(), _RECIPE)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
