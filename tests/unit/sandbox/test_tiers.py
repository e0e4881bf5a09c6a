"""One sandbox for every tier."""

from __future__ import annotations

import pytest

from o_sandbox.limits import Limits
from o_sandbox.protocol import SandboxUnavailableError
from o_sandbox.tiers import local_tiers
from o_sandbox.tool import Tool

pytestmark = pytest.mark.unit


async def test_each_tool_runs_in_its_tier_and_others_are_not_started() -> None:
    tiers = local_tiers(restricted_workers=1, offered=("restricted",))
    try:
        tool = Tool("f", "def f():\n    return 3", tier="restricted")
        assert (await tiers.run(tool, {}, Limits(), {})).value == 3
        with pytest.raises(
            SandboxUnavailableError, match="'wasm' is not offered here, only restri"
        ):
            await tiers.run(Tool("f", "", tier="wasm"), {}, Limits(), {})
    finally:
        await tiers.close()
