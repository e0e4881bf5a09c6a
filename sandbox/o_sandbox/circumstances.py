"""Chance and time as one call sees them: with the same ones it does the same again."""

from __future__ import annotations

import secrets
import time

from msgspec import Struct


class Circumstances(Struct, frozen=True):
    """What a call starts from.

    `seed` is what its random bytes follow from, 16 bytes or more; `now_ns` its Unix time. The
    tiers `wasm` and `module` know no other chance or time; the others take the seed of `random`.
    """

    seed: bytes
    now_ns: int

    @classmethod
    def fresh(cls) -> Circumstances:
        """Chance that nobody can guess, and the present."""
        return cls(secrets.token_bytes(32), time.time_ns())

    @property
    def number(self) -> int:
        """A seed for `random`, in [0, 2**63)."""
        return int.from_bytes(self.seed[:8], "big") >> 1
