"""After a takeover the user's program goes on, with the ids that it knows."""

from __future__ import annotations

import psycopg
import pytest
from letta_client import Letta
from tests.contract.api.test_letta_import import AGENTS, fill_conversations, letta_url, name
from tests.contract.live.conftest import Live

__all__ = ["letta_url"]
pytestmark = pytest.mark.contract


def test_the_program_goes_on(live: Live, letta: Letta, letta_url: str) -> None:
    agent = name("agent", 1)
    with psycopg.connect(letta_url) as connection:
        fill_conversations(connection, agent)
    said = live.o("import", "letta", "--database", letta_url, "--with-runs")
    for count in (f"{AGENTS} agents", "1 conversations", "1 runs", "2 steps"):
        assert count in said
    turn = letta.agents.messages.create(agent, input="and now?")
    assert turn.messages[-1].content == "echo: and now?"  # type: ignore[union-attr]
    newest = list(letta.agents.messages.list(agent, limit=4))[:4]
    assert "and now?" in [getattr(message, "content", None) for message in newest]
    with letta.conversations.messages.create(name("conv", 1), input="milk?") as stream:
        replies = [e.content for e in stream if e.message_type == "assistant_message"]
    assert replies == ["echo: milk?"]
    thread = letta.conversations.messages.list(name("conv", 1), order="asc")
    texts = [message.content for message in thread]  # type: ignore[union-attr]
    assert texts == ["tea?", "green", "sugar?", "milk?", "echo: milk?"]
