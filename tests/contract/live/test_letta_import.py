"""After a takeover the user's program goes on, with the ids that it knows."""

from __future__ import annotations

import pytest
from letta_client import Letta
from tests.contract.api.test_letta_import import AGENTS, letta_url, name
from tests.contract.live.conftest import Live

__all__ = ["letta_url"]
pytestmark = pytest.mark.contract


def test_the_program_goes_on(live: Live, letta: Letta, letta_url: str) -> None:
    said = live.o("import", "letta", "--database", letta_url)
    assert f"{AGENTS} agents" in said
    agent = name("agent", 1)
    turn = letta.agents.messages.create(agent, input="and now?")
    assert turn.messages[-1].content == "echo: and now?"  # type: ignore[union-attr]
    newest = list(letta.agents.messages.list(agent, limit=4))[:4]
    assert "and now?" in [getattr(message, "content", None) for message in newest]
