"""Fifty clients at once, on shared blocks and in the same conversations.

Whatever they do to each other, no edit gets lost, no turn is mixed with another, nobody waits for
ever, and PostgreSQL has to end nobody's transaction because two wait for each other.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, Final

import pytest
from tests.integration.turns.conftest import TurnPlatform

pytestmark = pytest.mark.integration

CLIENTS: Final = 50
AGENTS: Final = 5
THREADS: Final = 3
"""Of each agent: its default one and two conversations."""
ROUNDS: Final = 2
FIELDS: Final = ("description", "limit", "tags", "metadata")
"""What clients change of the shared block while turns change its text."""
INSERTED: Final = [
    "user_message", "assistant_message", "tool_call_message", "tool_return_message",
    "assistant_message",
]  # fmt: skip


class Crowd:
    """Agents that share one block, their threads, and what every client does."""

    def __init__(self, platform: TurnPlatform) -> None:
        self.http = platform.http
        self.block_id = self.ask("POST", "/v1/blocks", {"label": "human", "value": "Ada"})["id"]
        made = {"model": "o/scripted", "block_ids": [self.block_id]}
        self.agents = [self.ask("POST", "/v1/agents", made)["id"] for _ in range(AGENTS)]
        self.threads = [
            (agent, thread) for agent in self.agents for thread in self._threads_of(agent)
        ]

    def _threads_of(self, agent_id: str) -> list[str]:
        others = [
            self.ask("POST", f"/v1/conversations?agent_id={agent_id}", {})["id"]
            for _ in range(THREADS - 1)
        ]
        return [agent_id, *others]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request, which must not be refused."""
        answer = self.http.request(method, path, json=body)
        assert answer.status_code == 200, (method, path, answer.status_code, answer.text)
        return answer.json()

    def act(self, client: int) -> None:
        """Its turns in a thread that others use, and its changes in between."""
        agent_id, thread_id = self.threads[client % len(self.threads)]
        for number in range(ROUNDS):
            self.say(thread_id, f"insert fact{client}x{number}")
            self.say(thread_id, f"plain{client}x{number}")
            match client % 5:
                case 0:
                    name = FIELDS[client // 5 % len(FIELDS)]
                    self.ask("PATCH", f"/v1/blocks/{self.block_id}", _change(name, number))
                case 1:
                    # Comes, takes the block and goes: all of it while others write the block.
                    guest = {"model": "o/scripted", "block_ids": [self.block_id]}
                    made = self.ask("POST", "/v1/agents", guest)["id"]
                    self.say(made, f"insert guest{client}x{number}")
                    self.ask("DELETE", f"/v1/agents/{made}")
                case 2:
                    own = self.ask("POST", "/v1/blocks", {"label": f"l{client}", "value": "x"})
                    held = f"/v1/agents/{agent_id}/core-memory/blocks"
                    self.ask("PATCH", f"{held}/attach/{own['id']}")
                    self.ask("PATCH", f"{held}/detach/{own['id']}")
                case 3:
                    self.ask("GET", f"/v1/agents/{agent_id}/messages?limit=100")
                case _:
                    self.ask("PATCH", f"/v1/agents/{agent_id}", {"tags": [f"t{number}"]})

    def say(self, thread_id: str, text: str) -> None:
        kind = "agents" if thread_id.startswith("agent-") else "conversations"
        body = {"messages": [{"role": "user", "content": text}], "streaming": False}
        answer = self.ask("POST", f"/v1/{kind}/{thread_id}/messages", body)
        assert [m["message_type"] for m in answer["messages"]] == _kinds(text)[1:], answer

    def listed(self, agent_id: str, thread_id: str) -> list[Any]:
        """A thread's messages, oldest first."""
        kind = "agents" if thread_id == agent_id else "conversations"
        found = self.ask("GET", f"/v1/{kind}/{thread_id}/messages?limit=1000&order=asc")
        return list(found)


def _kinds(text: str) -> list[str]:
    """The messages of a turn in which the user says this."""
    return INSERTED if text.startswith("insert") else ["user_message", "assistant_message"]


def _change(name: str, number: int) -> dict[str, Any]:
    values: dict[str, Any] = {
        "description": f"d{number}", "limit": 50_000 + number, "tags": [f"t{number}"],
        "metadata": {"n": number},
    }  # fmt: skip
    return {name: values[name]}


def test_fifty_clients_lose_mix_and_block_nothing(platform: TurnPlatform) -> None:
    crowd = Crowd(platform)
    ended = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = platform.rows(ended)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(crowd.act, client) for client in range(CLIENTS)]:
            done.result(120)

    own = {f"fact{client}x{n}" for client in range(CLIENTS) for n in range(ROUNDS)}
    guests = {f"guest{client}x{n}" for client in range(1, CLIENTS, 5) for n in range(ROUNDS)}
    block = crowd.ask("GET", f"/v1/blocks/{crowd.block_id}")
    assert Counter(block["value"].split("\n")) == Counter({"Ada"} | own | guests)
    last = {name: block[name] for name in FIELDS}
    assert last == {k: v for name in FIELDS for k, v in _change(name, ROUNDS - 1).items()}
    history = platform.control.get(f"/o/v1/blocks/{crowd.block_id}/history?limit=1000").json()
    changes = CLIENTS // 5 * ROUNDS
    versions = list(range(1 + len(own | guests) + changes, 0, -1))
    assert [one["version"] for one in history] == versions

    said: list[str] = []
    for agent_id, thread_id in crowd.threads:
        messages = crowd.listed(agent_id, thread_id)
        turns = [list(turn) for _, turn in groupby(messages, key=lambda m: m["run_id"])]
        assert len(turns) == len({m["run_id"] for m in messages})
        for turn in turns:
            text = turn[0]["content"]
            assert [m["message_type"] for m in turn] == _kinds(text)
            assert text.removeprefix("insert ") in str(turn[1:])
            said.append(text)
    plain = {f"plain{client}x{n}" for client in range(CLIENTS) for n in range(ROUNDS)}
    assert Counter(said) == Counter({f"insert {fact}" for fact in own} | plain)
    assert platform.rows(ended) == before
