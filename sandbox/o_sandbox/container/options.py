"""How a process of the tier is started."""

from __future__ import annotations

from msgspec import Struct

from o_sandbox.jail import LayerName


class Options(Struct, frozen=True):
    """`scratch` is a folder it may write to, in files of `file_bytes` at most; empty for none."""

    required: frozenset[LayerName]
    memory_bytes: int
    cpu_s: float
    scratch: str = ""
    file_bytes: int = 0
