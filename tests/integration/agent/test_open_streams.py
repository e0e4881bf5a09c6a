"""What streams take that wait for their model: thousands may be open at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from o_contracts.messages import ToolSpec

from .conftest import wait_for

pytestmark = pytest.mark.integration

STREAMS = 60
MOST_BYTES = 60_000
"""Of a stream. It has a connection, a task and its agent's prompt."""
WORDS = {f"word{number}": {"type": "string"} for number in range(200)}
TOOLS = [
    ToolSpec(f"tool{number}", "Does something.", {"type": "object", "properties": WORDS})
    for number in range(3)
]
"""As objects these take some 180 000 bytes."""


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("Private_Dirty:"))
    return int(line.split()[1]) * 1024


@contextmanager
def _streams(instance: Any, agent_ids: list[str]) -> Iterator[list[socket.socket]]:
    body = b'{"input": "x", "stream_tokens": true}'
    with ExitStack() as stack:
        clients = []
        for agent_id in agent_ids:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(20)
            client.connect(str(instance.socket))
            head = f"POST /v1/agents/{agent_id}/messages/stream HTTP/1.1\r\nhost: o\r\n"
            client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            clients.append(client)
        yield clients


def _rest(client: socket.socket) -> bytes:
    received = b""
    while b"[DONE]" not in received:
        piece = client.recv(1 << 16)
        assert piece, received
        received += piece
    return received


def test_a_stream_that_waits_has_no_tools_of_its_own(instance: Any, frame_bridge: Any) -> None:
    first, *others = [frame_bridge.add_agent(tools=TOOLS) for _ in range(1 + STREAMS)]
    instance.say(first, "so that everything is loaded")
    frame_bridge.hold.clear()
    frame_bridge.llm_requests.clear()
    worker = instance.active_pid()
    before = _private_bytes(worker)
    with _streams(instance, others) as clients:
        wait_for(lambda: len(frame_bridge.llm_requests) == STREAMS, 20, instance.notes)
        each = (_private_bytes(worker) - before) / STREAMS
        frame_bridge.hold.set()
        assert all(b"echo:" in _rest(client) for client in clients)
    assert each < MOST_BYTES
