"""How a worker of the tier is started; apart from the worker, so that a host need not import it."""

from __future__ import annotations

from msgspec import Struct

from o_sandbox.jail import LayerName


class Options(Struct, frozen=True):
    """`required` layers of the jail must hold."""

    required: frozenset[LayerName]
