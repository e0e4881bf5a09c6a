"""Turns that go on without their client: begun, left, resumed, cancelled, failed, called back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import pytest
from letta_client import APIStatusError, NotFoundError
from letta_client.types.agents import Run
from tests.integration.turns.conftest import TurnPlatform
from tests.integration.turns.test_cancel import active

from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration
WORDS = "one two three four five six seven eight nine ten"
SAID = [{"role": "user", "content": "say words"}]


def ended(platform: TurnPlatform, run_id: str) -> Run:
    """The run, once it has ended."""

    def found() -> Run | None:
        run = platform.letta.runs.retrieve(run_id)
        return run if run.status in {"completed", "failed", "cancelled"} else None

    return asyncio.run(until(found, 30))


def text_of(events: list[Any]) -> str:
    return "".join(e.content for e in events if e.message_type == "assistant_message")


def test_a_run_that_nobody_waits_for(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    messages = platform.letta.agents.messages
    said = [{"role": "user", "content": "insert bread", "otid": f"{agent_id}-1"}]
    begun = messages.create_async(agent_id, messages=said)
    assert (begun.status, begun.background, begun.agent_id) == ("created", True, agent_id)
    assert messages.create_async(agent_id, messages=said).id == begun.id
    run = ended(platform, begun.id)
    assert (run.status, run.stop_reason, run.background) == ("completed", "end_turn", True)
    assert messages.create_async(agent_id, messages=said).id == begun.id

    runs = platform.letta.runs
    (listed,) = runs.list(agent_id=agent_id, background=True).items
    assert listed.id == begun.id
    assert runs.list(agent_id=agent_id, background=False).items == []
    stored = runs.messages.list(begun.id, order="asc").items
    assert [m.message_type for m in stored] == [
        "user_message", "assistant_message", "tool_call_message", "tool_return_message",
        "assistant_message",
    ]  # fmt: skip
    assert len(runs.steps.list(begun.id).items) == 2
    assert (runs.usage.retrieve(begun.id).total_tokens or 0) > 0
    streamed = list(runs.messages.stream(begun.id))
    assert [e.message_type for e in streamed[1:-2]] == [m.message_type for m in stored[1:]]
    assert [getattr(e, "seq_id", None) for e in streamed[1:-2]] == [1, 2, 3, 4]
    assert [e.message_type for e in streamed[-2:]] == ["stop_reason", "usage_statistics"]


@pytest.mark.parametrize("kill", [False, True])
def test_a_stream_that_is_left_and_resumed(platform: TurnPlatform, kill: bool) -> None:
    agent_id = platform.agent()
    conversation = platform.letta.conversations.create(agent_id=agent_id)
    first: list[Any] = []
    with platform.letta.conversations.messages.create(
        conversation.id, messages=SAID, background=True, stream_tokens=True
    ) as stream:
        for event in stream:
            first.append(event)
            if event.message_type == "assistant_message" and event.seq_id == 3:
                break
    run_id = first[0].run_id
    if kill:
        platform.kill_workers()
    by_thread = platform.letta.conversations.messages.stream(conversation.id, starting_after=3)
    rest = list(by_thread)
    assert text_of(first) + text_of(rest) == WORDS
    pieces = [e for e in first + rest if e.message_type == "assistant_message"]
    assert [e.seq_id for e in pieces] == list(range(1, len(pieces) + 1))
    (stored,) = {e.id for e in pieces}
    newest = platform.letta.conversations.messages.list(conversation.id).items[0]
    assert (newest.id, newest.content) == (stored, WORDS)  # type: ignore[union-attr]
    again = list(platform.letta.runs.messages.stream(run_id, include_pings=False))
    assert text_of(again) == WORDS
    assert [e.message_type for e in again[-2:]] == ["stop_reason", "usage_statistics"]
    assert len(platform.letta.runs.list(agent_id=agent_id).items) == 1
    late = list(platform.letta.conversations.messages.stream(conversation.id, starting_after=4))
    assert text_of(late) == text_of(pieces[4:])


def test_a_bridge_restart_in_the_middle(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    run = platform.letta.agents.messages.create_async(agent_id, messages=SAID)
    events = platform.letta.runs.messages.stream(run.id)
    seen = [next(iter(events)), next(iter(events))]
    platform.restart_bridge()
    seen += list(events)
    assert text_of(seen) == WORDS
    assert ended(platform, run.id).status == "completed"


def test_what_waits_can_be_cancelled_and_stays_so(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    messages = platform.letta.agents.messages
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(platform.send, agent_id, {"input": "slow 1"})
        active(platform, agent_id, 1)
        said = [{"role": "user", "content": "hi", "otid": f"{agent_id}-2"}]
        waiting = messages.create_async(agent_id, messages=said)
        active(platform, agent_id, 2)
        assert messages.cancel(agent_id, run_ids=[waiting.id]) == {waiting.id: "cancelled"}
        run = ended(platform, waiting.id)
        assert (run.status, run.stop_reason) == ("cancelled", "cancelled")
        assert messages.create_async(agent_id, messages=said).status == "cancelled"
        streamed = list(platform.letta.runs.messages.stream(waiting.id))
        assert [e.message_type for e in streamed] == ["ping", "stop_reason", "usage_statistics"]
        messages.cancel(agent_id)
        first.result(20)
    listed = platform.letta.runs.list(agent_id=agent_id, statuses=["cancelled"]).items
    assert len(listed) == 2


def test_a_run_that_fails_says_why(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    run = platform.letta.agents.messages.create_async(agent_id, input="fail now")
    failed = ended(platform, run.id)
    assert (failed.status, failed.stop_reason) == ("failed", "llm_api_error")
    assert "the script says no" in str(failed.metadata)
    path = f"/v1/runs/{run.id}/stream"
    text = platform.http.post(path, json={"include_pings": False}).text
    stop, error, done = text.strip().split("\n\n")
    assert '"llm_api_error"' in stop
    assert error.startswith("event: error\n")
    assert json.loads(error.splitlines()[1][6:])["message"] == "the script says no"
    assert done == "data: [DONE]"
    follow = platform.letta.agents.messages.create(agent_id, input="fine")
    assert follow.messages[0].content == "scripted: fine"  # type: ignore[union-attr]


def test_what_cannot_be_streamed_or_begun(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    messages = platform.letta.agents.messages
    plain = messages.create(agent_id, input="hi").messages[0].run_id
    with pytest.raises(APIStatusError, match="not begun in the background"):
        platform.letta.runs.messages.stream(str(plain))
    with pytest.raises(APIStatusError, match="callback_url"):
        messages.create_async(agent_id, input="hi", callback_url="file:///etc/passwd")
    with pytest.raises(APIStatusError, match="Field required"):
        messages.create_async(agent_id)
    with pytest.raises(NotFoundError, match="no background run"):
        platform.letta.conversations.messages.stream(agent_id)
    unknown = agent_id[:-4] + "0000"
    with pytest.raises(NotFoundError):
        messages.create_async(unknown, input="hi")


@contextmanager
def receiver(statuses: list[int]) -> Iterator[tuple[str, Queue[dict[str, Any]]]]:
    """A server that answers with these statuses, one after the other; what it was sent."""
    received: Queue[dict[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.put(json.loads(body))
            self.send_response(statuses.pop(0))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/done", received
        finally:
            server.shutdown()
            thread.join()


def test_a_callback_is_sent_until_it_is_taken(platform: TurnPlatform) -> None:
    agent_id = platform.agent()
    with receiver([500, 204]) as (url, received):
        run = platform.letta.agents.messages.create_async(agent_id, input="hi", callback_url=url)
        first, second = received.get(timeout=30), received.get(timeout=30)
    assert first == second
    assert (first["run_id"], first["status"], first["stop_reason"]) == (
        run.id, "completed", "end_turn",
    )  # fmt: skip

    def sent() -> Run | None:
        found = platform.letta.runs.retrieve(run.id)
        return found if found.callback_sent_at is not None else None

    told = asyncio.run(until(sent, 30))
    assert (told.callback_status_code, told.callback_error, told.callback_url) == (204, None, url)
