"""Tools through the real SDK: added from source, changed, run, and given to agents."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from letta_client import APIStatusError, Letta
from wasmtime import wat2wasm

pytestmark = pytest.mark.contract


def test_a_tool_may_be_javascript_or_webassembly(letta: Letta, http: httpx.Client) -> None:
    schema = {
        "name": "double",
        "description": "Double a number.",
        "parameters": {"type": "object", "properties": {"x": {"type": "number"}}},
    }
    source = "const double = ({ x }) => x * 2"
    body = {"source_code": source, "source_type": "javascript", "json_schema": schema}
    made = http.post("/v1/tools", json=body).json()
    assert (made["source_type"], made["metadata_"]["tier"]) == ("javascript", "module")
    agent = letta.agents.create(tool_ids=[made["id"]])
    assert letta.agents.tools.run("double", agent_id=agent.id, args={"x": 21}).func_return == 42
    changed = {"source_code": "const double = ({ x }) => x + x + 1"}
    assert http.patch(f"/v1/tools/{made['id']}", json=changed).status_code == 200
    assert letta.agents.tools.run("double", agent_id=agent.id, args={"x": 21}).func_return == 43
    for wrong, says in (
        ({"json_schema": {}}, "needs a json_schema"),
        ({"source_type": "wasm"}, "no base64"),
        ({"tier": "restricted"}, "runs in the tier `module`"),
    ):
        answer = http.post("/v1/tools", json={**body, **wrong})
        assert (answer.status_code, says in answer.text) == (422, True), answer.text
    assert http.post("/v1/tools", json={**body, "source_type": "ruby"}).status_code == 501


ADD = '''
def add(a: int, b: int = 2) -> int:
    """Add numbers.

    Args:
        a: first
        b: second
    """
    print("adding")
    return a + b
'''
UNKNOWN = "tool-2f9934b6-6825-4a8e-94de-4a65fb310e72"


def test_a_schema_that_comes_with_the_source_counts(letta: Letta) -> None:
    source = "def half(x, digits=1):\n    'Halve a number.'\n    return round(x / 2, digits)"
    arguments = {
        "type": "object",
        "properties": {"x": {"type": "number", "description": "what to halve"}},
        "required": ["x"],
    }
    schema = {"name": "half", "description": "Half of it.", "parameters": arguments}
    given = letta.tools.create(source_code=source, json_schema=schema)
    assert given.json_schema == schema
    agent = letta.agents.create(tool_ids=[given.id])
    assert letta.agents.tools.run("half", agent_id=agent.id, args={"x": 3}).func_return == 1.5
    letta.tools.delete(given.id)

    only = letta.tools.create(source_code=source, args_json_schema=arguments)
    assert (only.json_schema or {})["parameters"] == arguments
    assert only.description == "Halve a number."
    changed = letta.tools.update(only.id, source_code=source.replace("digits=1", "digits=2"))
    assert (changed.json_schema or {})["parameters"] == arguments
    wider = {**arguments, "properties": {**arguments["properties"], "digits": {"type": "integer"}}}  # type: ignore[dict-item]
    widened = letta.tools.update(only.id, args_json_schema=wider)
    assert (widened.json_schema or {})["parameters"] == wider
    letta.tools.delete(only.id)
    with pytest.raises(APIStatusError, match="needs a type hint"):
        letta.tools.create(source_code=source)


def test_a_tool_lives(letta: Letta) -> None:
    tool = letta.tools.create(source_code=ADD, tags=["math"])
    assert (tool.name, tool.description, tool.tool_type) == ("add", "Add numbers.", "custom")
    assert tool.json_schema == {
        "name": "add",
        "description": "Add numbers.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "description": "first"},
                "b": {"type": "integer", "description": "second", "default": 2},
            },
            "required": ["a"],
        },
    }
    assert tool.return_char_limit == 50_000
    assert letta.tools.retrieve(tool.id) == tool
    with pytest.raises(APIStatusError) as taken:
        letta.tools.create(source_code=ADD)
    assert taken.value.status_code == 409

    same = letta.tools.upsert(source_code=ADD.replace("a + b", "a - b"))
    assert (same.id, same.tags) == (tool.id, ["math"])
    assert "a - b" in (same.source_code or "")
    changed = letta.tools.update(tool.id, description="Sums.", return_char_limit=10)
    assert (changed.description, changed.return_char_limit) == ("Sums.", 10)
    letta.tools.delete(tool.id)
    with pytest.raises(APIStatusError) as gone:
        letta.tools.retrieve(tool.id)
    assert gone.value.status_code == 404


def test_tools_are_listed_and_found(letta: Letta) -> None:
    ids = {letta.tools.upsert(source_code=ADD.replace("add", name)).id for name in ("one", "two")}
    listed = list(letta.tools.list(limit=100))
    assert ids < {tool.id for tool in listed}
    assert {tool.name for tool in listed} > {"memory_insert", "conversation_search", "one"}
    assert {tool.name for tool in letta.tools.list(names=["one"])} == {"one"}
    assert {tool.name for tool in letta.tools.list(search="TW")} == {"two"}
    assert {tool.tool_type for tool in letta.tools.list(tool_types=["custom"])} == {"custom"}
    assert not [t for t in letta.tools.list(return_only_letta_tools=True) if t.name == "one"]
    pages = [tool.name for tool in letta.tools.list(limit=1)]
    assert sorted(map(str, pages)) == sorted(str(tool.name) for tool in listed)
    found = letta.tools.search(query="add numbers", limit=2)
    assert {one.tool.name for one in found} == {"one", "two"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"source_code": "def f(x):\n    'd'"}, 422, "line 1: parameter 'x'"),
        ({"source_code": "def f(:"}, 422, "line 1: is no Python"),
        ({"source_code": ADD, "grants": ["shell"]}, 422, "'shell' mean nothing"),
        ({"source_code": ADD, "source_type": "typescript"}, 501, "Python"),
        ({"source_code": ADD.replace("add", "memory_insert")}, 409, "memory_insert"),
        ({}, 422, "source_code"),
    ],
)
def test_refusals_say_what_to_change(
    http: httpx.Client, body: dict[str, Any], status: int, said: str
) -> None:
    answer = http.post("/v1/tools/", json=body)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text


def test_agents_are_given_tools(letta: Letta) -> None:
    tool = letta.tools.create(source_code=ADD)
    agent = letta.agents.create(model="o/echo", tools=["add"], tool_ids=[tool.id])
    assert [one.name for one in agent.tools][-1] == "add"
    without = letta.agents.tools.detach(tool.id, agent_id=agent.id)
    assert "add" not in [one.name for one in without.tools]
    letta.agents.tools.attach(tool.id, agent_id=agent.id)
    assert "add" in [one.name for one in letta.agents.tools.list(agent.id)]
    asking = letta.agents.tools.update_approval(
        "add", agent_id=agent.id, body_requires_approval=True
    )
    assert [(r.type, r.tool_name) for r in asking.tool_rules or []] == [
        ("requires_approval", "add")
    ]
    ran = letta.agents.tools.run("add", agent_id=agent.id, args={"a": 40})
    assert (ran.status, ran.func_return, ran.stdout) == ("success", 42, ["adding"])
    with pytest.raises(APIStatusError) as wrong:
        letta.agents.tools.run("add", agent_id=agent.id, args={"a": "x"})
    assert wrong.value.status_code == 422
    letta.tools.delete(tool.id)
    assert "add" not in [one.name for one in letta.agents.retrieve(agent.id).tools]
    with pytest.raises(APIStatusError) as missing:
        letta.agents.tools.attach(UNKNOWN, agent_id=agent.id)
    assert missing.value.status_code == 404


def test_source_is_tried_out(http: httpx.Client) -> None:
    body = {"source_code": ADD, "args": {"a": 40}}
    ran = http.post("/v1/tools/run", json=body).json()
    assert (ran["status"], ran["tool_return"], ran["stdout"]) == ("success", "42", ["adding"])
    broken = {"source_code": "def f() -> int:\n    'd'\n    return 1 / 0"}
    failed = http.post("/v1/tools/run", json=broken).json()
    assert failed["status"] == "error"
    assert "ZeroDivisionError" in failed["tool_return"]


WASM = base64.b64encode(
    wat2wasm(
        """(module (memory (export "memory") 1)
          (func (export "alloc") (param i32) (result i32) (i32.const 64))
          (func (export "echo") (param i32 i32) (result i64)
            (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32))
                    (i64.extend_i32_u (local.get 1)))))"""
    )
).decode()


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ({"source_code": "const f = ({ x }) => x * 2", "source_type": "javascript"}, "42"),
        ({"source_code": WASM, "source_type": "wasm", "name": "echo"}, '{"x": 21}'),
        (
            {
                "source_code": "const f = ({ x }) => [x]",
                "source_type": "javascript",
                "json_schema": {"name": "f"},
                "name": None,
            },
            "[21]",
        ),
    ],
)
def test_source_in_other_languages_is_tried_out(
    http: httpx.Client, body: dict[str, Any], value: str
) -> None:
    ran = http.post("/v1/tools/run", json={"args": {"x": 21}, "name": "f", **body})
    assert ran.status_code == 200, ran.text
    assert (ran.json()["status"], ran.json()["tool_return"]) == ("success", value)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"source_type": "javascript"}, 422, "say which function"),
        ({"source_type": "javascript", "name": "f", "tier": "wasm"}, 422, "tier `module`"),
        ({"source_type": "wasm", "name": "f"}, 422, "no base64"),
        ({"source_type": "ruby", "name": "f"}, 501, "not offered"),
    ],
)
def test_source_that_cannot_be_tried_out_is_refused(
    http: httpx.Client, body: dict[str, Any], status: int, says: str
) -> None:
    answer = http.post("/v1/tools/run", json={"source_code": "const f = () => 1", **body})
    assert (answer.status_code, says in answer.text) == (status, True), answer.text


JOT = '''
def jot(agent_state: "AgentState", label: str, fact: str) -> str:
    """Add a fact to a memory block.

    Args:
        label: of the block
        fact: what to add
    """
    block = agent_state.memory.get_block(label)
    agent_state.memory.update_block_value(label=label, value=f"{block.value}; {fact}")
    return f"{agent_state.name} has {agent_state.memory.list_block_labels()}, {block.value}"
'''
STATE = ["agent.read", "memory.read", "memory.write"]


def test_a_tool_that_takes_its_agent_shows_what_it_may_do(letta: Letta, http: httpx.Client) -> None:
    tool = letta.tools.create(source_code=JOT)
    assert set((tool.json_schema or {})["parameters"]["properties"]) == {"label", "fact"}
    assert (tool.metadata or {})["grants"] == STATE

    def changed(**fields: Any) -> list[str]:
        answer = http.patch(f"/v1/tools/{tool.id}", json=fields)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["metadata_"]["grants"])

    assert changed(grants=["memory.read"]) == ["memory.read"]
    assert changed(source_code=JOT + "\n") == ["memory.read"]
    plain = "def jot(label: str, fact: str) -> str:\n    'd'\n    return fact"
    assert changed(source_code=plain) == ["memory.read"]
    assert sorted(changed(source_code=JOT)) == STATE
    own = http.put("/v1/tools/", json={"source_code": JOT, "grants": ["o.sleep"]}).json()
    assert own["metadata_"]["grants"] == ["o.sleep"]
    letta.tools.delete(tool.id)
    for tier in ("container", "restricted"):
        refused = http.post("/v1/tools/", json={"source_code": JOT, "tier": tier})
        assert (refused.status_code, "tier `wasm`" in refused.text) == (422, True)


def test_a_run_of_an_agents_tool_edits_its_memory(letta: Letta, http: httpx.Client) -> None:
    tool = letta.tools.create(source_code=JOT)
    blocks = [
        {"label": "human", "value": "Ada", "limit": 20},
        {"label": "rules", "value": "none", "read_only": True},
    ]
    agent = letta.agents.create(name="Eve", memory_blocks=blocks, tool_ids=[tool.id])  # type: ignore[arg-type]

    def run(label: str, fact: str) -> tuple[str, str]:
        arguments: dict[str, object] = {"label": label, "fact": fact}
        ran = letta.agents.tools.run("jot", agent_id=agent.id, args=arguments)
        return ran.status, str(ran.func_return)

    assert run("human", "tea") == ("success", "Eve has ['human', 'rules'], Ada; tea")
    block = letta.agents.blocks.retrieve("human", agent_id=agent.id)
    assert block.value == "Ada; tea"
    (made, _) = http.get(f"/o/v1/blocks/{block.id}/history").json()
    assert (made["who"], made["why"]) == ("operator", "memory.write of the tool jot")
    for label, fact, says in (
        ("rules", "x", "is read-only"),
        ("human", "x" * 20, "its limit is 20"),
        ("nothing", "x", "there is no memory block 'nothing'"),
    ):
        status, text = run(label, fact)
        assert (status, says in text) == ("error", True), text
    assert letta.agents.blocks.retrieve("human", agent_id=agent.id).value == "Ada; tea"
    letta.tools.delete(tool.id)

    body = {"source_code": JOT, "args": {"label": "human", "fact": "x"}}
    alone = http.post("/v1/tools/run", json=body).json()
    assert (alone["status"], "there is no agent here" in alone["tool_return"]) == ("error", True)
