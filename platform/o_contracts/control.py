"""Operations of the bridge's control socket that other processes call.

They travel in the frames of `o_contracts.frames`, after `hello`, on a socket that only the
platform's own user can open.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

CACHE_DROP: Final = "cache.drop"


class CacheDrop(Struct, frozen=True):
    """Forget what is cached of these agents; answered with `Empty` once it is forgotten.

    Sent after the commit that changed them, so a turn opened after the answer reads the change.
    """

    agent_ids: list[str]
