"""Agent files: what is exported is imported again, and so is what others wrote."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from letta_client import BadRequestError, Letta, UnprocessableEntityError
from letta_client.types import AgentState

pytestmark = pytest.mark.contract

TOOL = '''
def double(n: int) -> int:
    """Double a number.

    Args:
        n: the number
    """
    return 2 * n
'''
MESSAGES = [
    {"role": "system", "content": [{"type": "text", "text": "compiled"}]},
    {"role": "user", "content": [{"type": "text", "text": "hi there"}]},
    {
        "role": "assistant",
        "content": [],
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "send_message", "arguments": '{"message": "ok: hi there"}'},
            }
        ],
    },
    {
        "role": "tool",
        "name": "send_message",
        "tool_call_id": "call_1",
        "content": [{"type": "text", "text": '{"status": "OK", "message": "Sent."}'}],
        "created_at": "2026-01-02T03:04:05+00:00",
    },
]
CONFIG = {"handle": "o/echo", "model": "echo", "context_window": 9000, "max_tokens": 77}


def file_of(**agent: Any) -> dict[str, Any]:
    """A file as the retired server wrote it."""
    fields = {
        "id": "agent-0", "name": "ada", "agent_type": "memgpt_agent", "system": "Be kind.",
        "llm_config": CONFIG, "model": None, "embedding_config": {"handle": "o/hash"},
        "block_ids": ["block-0"], "tool_ids": ["tool-0", "tool-1", "tool-2"],
        "messages": MESSAGES, "tags": ["t"], "tool_exec_environment_variables": {"KEY": ""},
        "tool_rules": [
            {"tool_name": "send_message", "type": "exit_loop", "prompt_template": None},
            {"tool_name": "double", "type": "from_the_future"},
        ],
    } | agent  # fmt: skip
    tools = [
        {"id": "tool-0", "name": "send_message", "tool_type": "letta_core"},
        {"id": "tool-1", "name": "double", "source_code": TOOL, "json_schema": {"name": "double"}},
        {"id": "tool-2", "name": "draw_picture", "tool_type": "letta_builtin"},
    ]
    blocks = [{"id": "block-0", "label": "human", "value": "Ada", "limit": 50}]
    return {"agents": [fields], "blocks": blocks, "tools": tools, "groups": [], "skills": []}


def take_in(letta: Letta, file: Any, **fields: Any) -> AgentState:
    data = file if isinstance(file, bytes) else json.dumps(file).encode()
    made = letta.agents.import_file(file=("a.af", io.BytesIO(data)), **fields)
    return letta.agents.retrieve(made.agent_ids[0])


def test_an_agent_comes_with_a_new_companion(letta: Letta) -> None:
    human = [{"label": "human", "value": "Ada"}]
    agent = letta.agents.create(model="o/echo", memory_blocks=human, enable_sleeptime=True)
    file = letta.agents.export_file(agent.id)
    copy = take_in(letta, file if isinstance(file, dict) else json.loads(str(file)))
    assert agent.managed_group is not None
    assert copy.managed_group is not None
    assert copy.managed_group.agent_ids != agent.managed_group.agent_ids
    companion = letta.agents.retrieve(copy.managed_group.agent_ids[0])
    assert [block.id for block in companion.blocks] == [block.id for block in copy.blocks]
    alone = letta.agents.update(copy.id, enable_sleeptime=False)
    assert "memory_insert" in [tool.name for tool in alone.tools]


def test_an_agent_comes_with_the_companion_of_its_file(letta: Letta, http: httpx.Client) -> None:
    file = file_of(enable_sleeptime=True)
    asleep = {**file["agents"][0], "id": "agent-1", "name": "asleep", "messages": []}
    file["agents"].append(asleep | {"agent_type": "sleeptime_agent", "enable_sleeptime": False})
    config = {"manager_type": "sleeptime", "manager_agent_id": "agent-0"}
    pair = {"agent_ids": ["agent-1"], "manager_config": config | {"sleeptime_agent_frequency": 7}}
    others = {"agent_ids": ["agent-0"], "manager_config": {"manager_type": "round_robin"}}
    file["groups"] = [{"id": "group-0", **pair}, {"id": "group-1", **others}, {"id": "g", **pair}]
    data = {"file": ("ada.af", json.dumps(file).encode())}
    answer = http.post("/v1/agents/import", files=data).json()
    first, second = answer["agent_ids"]
    assert answer["notes"].count("a group of the file was left out") == 2
    group = letta.agents.retrieve(first).managed_group
    assert group is not None
    assert (group.agent_ids, group.sleeptime_agent_frequency) == ([second], 7)
    assert len(list(letta.agents.list())) == 2


def test_a_file_of_the_retired_server(letta: Letta, http: httpx.Client) -> None:
    data = {"file": ("ada.af", json.dumps(file_of()).encode())}
    answer = http.post("/v1/agents/import", files=data).json()
    agent = letta.agents.retrieve(answer["agent_ids"][0])
    assert (agent.name, agent.agent_type, agent.system) == ("ada", "memgpt_agent", "Be kind.")
    assert (agent.model, agent.llm_config.context_window) == ("o/echo", 9000)
    assert agent.tags == ["t"]
    assert [(b.label, b.value, b.limit) for b in agent.blocks] == [("human", "Ada", 50)]
    assert [tool.name for tool in agent.tools] == ["send_message", "double"]
    assert [rule.type for rule in agent.tool_rules or []] == ["exit_loop"]
    said = list(letta.agents.messages.list(agent.id, order="asc"))
    assert [m.message_type for m in said] == ["user_message", "assistant_message"]
    assert said[1].content == "ok: hi there"  # type: ignore[union-attr]
    notes = "\n".join(answer["notes"])
    for part in ("draw_picture", "from_the_future", "KEY"):
        assert part in notes


def test_a_file_written_as_a_string_of_json(letta: Letta) -> None:
    twice = json.dumps(json.dumps(file_of()))
    assert take_in(letta, twice.encode()).name == "ada"


def test_what_the_retired_server_put_into_tools(letta: Letta, http: httpx.Client) -> None:
    beat = {"type": "boolean", "description": "go on"}
    arguments = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "request_heartbeat": beat},
        "required": ["n", "request_heartbeat"],
    }
    file = file_of(secrets={"KEY": "", "OTHER": ""}, tool_ids=["tool-1", "tool-3"])
    file["tools"][1]["json_schema"] = {"name": "double", "parameters": arguments}
    stub = "def remote(**kwargs):\n    raise RuntimeError('not here')"
    file["tools"].append(
        {"id": "tool-3", "name": "remote", "tool_type": "external_mcp", "source_code": stub,
         "json_schema": {"name": "remote", "parameters": {"type": "object"}}}
    )  # fmt: skip
    data = {"file": ("ada.af", json.dumps(file).encode())}
    answer = http.post("/v1/agents/import", files=data).json()
    agent = letta.agents.retrieve(answer["agent_ids"][0])
    (tool,) = agent.tools
    parameters: Any = (tool.json_schema or {})["parameters"]
    assert (list(parameters["properties"]), parameters["required"]) == (["n"], ["n"])
    assert letta.agents.tools.run("double", agent_id=agent.id, args={"n": 4}).func_return == 8
    assert "'remote' (external_mcp) runs on a server of its own" in "\n".join(answer["notes"])
    assert "ada: set its secrets again: KEY, OTHER" in answer["notes"]


def test_what_is_exported_is_imported(letta: Letta) -> None:
    tool = letta.tools.create(source_code=TOOL.replace("double", "twice"))
    agent = letta.agents.create(
        name="eva", model="o/scripted", tool_ids=[tool.id], tags=["x"], metadata={"k": [1]},
        memory_blocks=[{"label": "human", "value": "Eva"}, {"label": "notes", "value": ""}],
        tool_rules=[{"type": "run_first", "tool_name": "twice"}], timezone="Europe/Berlin",
        initial_message_sequence=[
            {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"},
        ],
    )  # fmt: skip
    file = letta.agents.export_file(agent.id)
    copy = take_in(letta, file.encode(), append_copy_suffix=True)
    assert copy.id != agent.id
    assert copy.name == "eva_copy"
    assert {b.id for b in copy.blocks}.isdisjoint(b.id for b in agent.blocks)
    same = ("model", "system", "tags", "metadata", "timezone", "embedding", "agent_type")
    for name in same:
        assert getattr(copy, name) == getattr(agent, name), name
    assert [t.id for t in copy.tools] == [t.id for t in agent.tools]
    assert copy.tool_rules == agent.tool_rules
    assert [(b.label, b.value) for b in copy.blocks] == [(b.label, b.value) for b in agent.blocks]
    texts = [m.content for m in letta.agents.messages.list(copy.id, order="asc")]  # type: ignore[union-attr]
    assert texts == ["one", "two"]
    bare = take_in(letta, letta.agents.export_file(agent.id, scrub_messages=True).encode())
    assert bare.message_ids == []


def test_the_older_form(letta: Letta) -> None:
    older = {
        "agent_type": "memgpt_agent", "name": "old", "system": "Be old.", "llm_config": CONFIG,
        "core_memory": [{"label": "persona", "value": "I am old", "limit": 5000}],
        "tools": [{"name": "conversation_search", "tool_type": "letta_core"}],
        "messages": MESSAGES, "in_context_message_indices": [0, 1], "version": "0.6.47",
        "metadata_": {"a": 1}, "tool_exec_environment_variables": [],
    }  # fmt: skip
    agent = take_in(letta, older, name="new name", strip_messages=True, model="o/scripted")
    assert (agent.name, agent.model, agent.metadata) == ("new name", "o/scripted", {"a": 1})
    assert [b.value for b in agent.blocks] == ["I am old"]
    assert [t.name for t in agent.tools] == ["conversation_search"]
    assert agent.message_ids == []


def test_a_tool_that_exists_stays_unless_asked(letta: Letta) -> None:
    mine = letta.tools.create(source_code=TOOL)
    theirs = TOOL.replace("2 * n", "n + n")
    file = file_of()
    file["tools"][1]["source_code"] = theirs
    assert mine.id in [t.id for t in take_in(letta, file).tools]
    assert letta.tools.retrieve(mine.id).source_code == mine.source_code
    take_in(letta, file, override_existing_tools=True)
    assert letta.tools.retrieve(mine.id).source_code == theirs


def test_text_that_cannot_be_stored_is_replaced(letta: Letta) -> None:
    file = json.dumps(file_of(system="a\x00b\ud800c")).encode()
    assert take_in(letta, file).system == "a\N{REPLACEMENT CHARACTER}b?c"


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (b"not json", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "JSON object"),
        (b"{}", "agents"),
        (b'{"agents": [{"id": "agent-0"}]}', "agents.0.name"),
        (json.dumps(file_of(block_ids=["block-7"])).encode(), "block-7"),
        (json.dumps(file_of(agent_type="unheard")).encode(), "agent_type"),
    ],
)
def test_a_wrong_file_says_where_and_leaves_nothing(
    letta: Letta, file: bytes, problem: str
) -> None:
    with pytest.raises((UnprocessableEntityError, BadRequestError), match=problem):
        take_in(letta, file)
    assert list(letta.agents.list()) == []
    assert list(letta.blocks.list()) == []


def test_files_may_be_larger_than_other_bodies(letta: Letta) -> None:
    assert len(take_in(letta, file_of(system="x" * 300_000)).system) == 300_000


def test_form_fields_are_checked(http: httpx.Client) -> None:
    data = {"file": ("ada.af", json.dumps(file_of()).encode())}
    answer = http.post("/v1/agents/import", files=data, data={"model": "no-handle"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == "model"
    assert http.post("/v1/agents/import", data={"name": "x"}).status_code == 422
    wrong = http.post("/v1/agents/import", files=data, data={"secrets": '{"A": 1}'})
    assert (wrong.status_code, "secrets" in wrong.text) == (422, True)


def test_secrets_come_along(letta: Letta) -> None:
    agent = take_in(letta, file_of(), secrets='{"KEY": "hidden"}')
    assert [secret.key for secret in agent.secrets or []] == ["KEY"]
