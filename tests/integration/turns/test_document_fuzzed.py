"""Turns made from the OpenAPI document (schemathesis), what it allows and what it forbids.

The control plane's part is `contract/api/test_document_fuzzed`; here instances answer, through
Envoy. Whatever is sent, the answer is no failure of the server.
"""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from schemathesis import GenerationMode
from tests.contract.api.test_document_fuzzed import tried
from tests.contract.api.test_openapi import SNAPSHOT
from tests.integration.turns.conftest import TurnPlatform

pytestmark = pytest.mark.integration

TURNS = (
    "POST /v1/agents/{agent_id}/messages",
    "POST /v1/agents/{agent_id}/messages/stream",
    "POST /v1/agents/{agent_id}/messages/async",
    "POST /v1/agents/{agent_id}/summarize",
    "POST /v1/agents/{agent_id}/recompile",
    "GET /v1/agents/{agent_id}/context",
    "POST /v1/conversations/{conversation_id}/messages",
    "POST /v1/conversations/{conversation_id}/compact",
    "POST /v1/conversations/{conversation_id}/recompile",
    "POST /v1/conversations/{conversation_id}/stream",
    "POST /v1/chat/completions",
    "POST /v1/responses",
)
EXAMPLES = 2


def test_no_turn_made_from_the_document_fails_the_server(platform: TurnPlatform) -> None:
    agent_id = platform.agent(model="o/echo")
    conversation = platform.letta.conversations.create(agent_id=agent_id)
    known = {"agent_id": agent_id, "conversation_id": conversation.id}
    document = schemathesis.openapi.from_path(SNAPSHOT)
    operations = [found.ok() for found in document.get_all_operations()]
    turns = [one for one in operations if one.label in TURNS]
    assert len(turns) == len(TURNS)
    sent: list[httpx.Response] = []
    for operation in turns:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            sent += tried(operation, mode, platform.http, known, examples=EXAMPLES)
    assert len(sent) >= 2 * len(TURNS)
    assert any(answer.status_code == 422 for answer in sent)
    follow = platform.letta.agents.messages.create(agent_id, input="still there?")
    assert follow.messages[-1].content == "echo: still there?"
