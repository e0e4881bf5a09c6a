"""Agents over the real SDK."""

from __future__ import annotations

import httpx
import letta_client
import pytest
from letta_client import Letta

from o_contracts.ids import lineage_key, new_id
from o_platform.agents.defaults import DEFAULT_SYSTEM

pytestmark = pytest.mark.contract
UNKNOWN = "agent-00000001-0000-4000-8000-000000000000"


def test_create_without_anything(letta: Letta) -> None:
    agent = letta.agents.create()
    assert agent.name
    assert agent.agent_type == "letta_v1_agent"
    assert agent.system == DEFAULT_SYSTEM
    assert agent.model == "o/echo"
    assert agent.timezone == "UTC"
    assert lineage_key(agent.id) == 1
    assert [tool.name for tool in agent.tools] == [
        "memory_insert",
        "memory_replace",
        "conversation_search",
    ]


def test_create_and_retrieve_everything(letta: Letta) -> None:
    created = letta.agents.create(
        name="s1",
        model="openai/gpt-4o-mini",
        embedding="openai/text-embedding-3-small",
        system="Be brief.",
        description="a test",
        tags=["b", "a", "b"],
        metadata={"k": {"nested": [1, None]}},
        timezone="Europe/Berlin",
        include_base_tools=False,
        tools=["send_message"],
        tool_rules=[{"type": "exit_loop", "tool_name": "send_message"}],
        model_settings={"provider_type": "openai", "temperature": 0.5, "max_output_tokens": 99},
        memory_blocks=[
            {"label": "human", "value": "Bob"},
            {"label": "persona", "value": "bot", "limit": 77, "read_only": True},
        ],
        initial_message_sequence=[{"role": "user", "content": "hi"}],
        enable_sleeptime=True,
        context_window_limit=32_000,
    )
    agent = letta.agents.retrieve(created.id, include=["agent.blocks", "agent.tags"])
    assert agent == created
    assert (agent.name, agent.system, agent.description) == ("s1", "Be brief.", "a test")
    assert agent.tags == ["b", "a"]
    assert agent.metadata == {"k": {"nested": [1, None]}}
    assert [tool.name for tool in agent.tools] == ["send_message"]
    assert [block.value for block in agent.blocks] == ["Bob", "bot"]
    assert agent.memory.blocks == agent.blocks
    assert (agent.blocks[1].limit, agent.blocks[1].read_only) == (77, True)
    assert agent.llm_config.handle == "openai/gpt-4o-mini"
    assert agent.llm_config.context_window == 32_000
    assert agent.llm_config.temperature == 0.5
    assert agent.message_ids is not None
    assert len(agent.message_ids) == 1
    assert agent.enable_sleeptime is True


def test_agent_in_another_lineage(letta: Letta) -> None:
    agent = letta.agents.create(extra_headers={"X-O-Lineage": "other"})
    assert lineage_key(agent.id) == 0x2A


def test_unknown_lineage_is_404(letta: Letta) -> None:
    with pytest.raises(letta_client.NotFoundError, match="no lineage is named 'nowhere'"):
        letta.agents.create(extra_headers={"X-O-Lineage": "nowhere"})


def test_update(letta: Letta) -> None:
    agent = letta.agents.create(
        name="a", model_settings={"provider_type": "openai", "temperature": 0.1}
    )
    insert = agent.tools[0].id
    changed = letta.agents.update(
        agent.id,
        name="b",
        model="groq/llama",
        tags=["x"],
        tool_ids=[insert],
        max_tokens=7,
        description="d",
        metadata={"m": 1},
        compaction_settings={"mode": "all"},
    )
    assert (changed.name, changed.model, changed.tags) == ("b", "groq/llama", ["x"])
    assert [tool.id for tool in changed.tools] == [insert]
    assert changed.description == "d"
    assert changed.compaction_settings is not None
    assert changed.compaction_settings.mode == "all"
    assert changed.llm_config.max_tokens == 7
    assert changed.llm_config.temperature == 0.1
    assert changed.system == agent.system
    cleared = letta.agents.update(agent.id, description=None, name=None)
    assert (cleared.description, cleared.name) == (None, "b")
    assert letta.agents.retrieve(agent.id) == cleared


def test_delete_keeps_blocks(letta: Letta) -> None:
    agent = letta.agents.create(memory_blocks=[{"label": "human", "value": "x"}])
    block_id = agent.blocks[0].id
    assert block_id is not None
    letta.agents.delete(agent.id)
    with pytest.raises(letta_client.NotFoundError):
        letta.agents.retrieve(agent.id)
    with pytest.raises(letta_client.NotFoundError):
        letta.agents.delete(agent.id)
    assert letta.blocks.retrieve(block_id).value == "x"


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_paging_is_exact(letta: Letta, order: str) -> None:
    created = [letta.agents.create(name=f"n{number}").id for number in range(7)]
    expected = created if order == "asc" else created[::-1]
    pages = letta.agents.list(limit=3, order=order)  # type: ignore[arg-type]
    assert [agent.id for agent in pages] == expected
    middle = letta.agents.list(limit=2, order=order, before=expected[4])  # type: ignore[arg-type]
    assert [agent.id for agent in middle.items] == expected[2:4]
    between = letta.agents.list(  # type: ignore[call-overload]
        order=order, after=expected[1], before=expected[5]
    )
    assert [agent.id for agent in between.items] == expected[2:5]


def test_pages_are_not_moved_by_new_agents(letta: Letta) -> None:
    first = [letta.agents.create().id for _ in range(4)]
    page = letta.agents.list(limit=2)
    letta.agents.create()
    rest = letta.agents.list(limit=10, after=page.items[-1].id)
    assert [agent.id for agent in [*page.items, *rest.items]] == first[::-1]


def test_filters(letta: Letta) -> None:
    letta.agents.create(name="alpha", tags=["x", "y"])
    letta.agents.create(name="beta_1", tags=["y"])

    def names(**wanted: object) -> list[str]:
        return [a.name for a in letta.agents.list(order="asc", **wanted)]  # type: ignore[arg-type]

    assert names(tags=["x", "y"]) == ["alpha", "beta_1"]
    assert names(tags=["x", "y"], match_all_tags=True) == ["alpha"]
    assert names(name="beta_1") == ["beta_1"]
    assert names(query_text="A_1") == ["beta_1"]
    assert names(query_text="a%1") == []
    assert names(identity_id="identity-1") == []
    assert list(letta.tags.list()) == ["x", "y"]
    assert list(letta.tags.list(after="x")) == ["y"]
    assert list(letta.tags.list(order="desc", limit=1)) == ["y"]


def test_bad_bodies_are_422(http: httpx.Client) -> None:
    cases: list[tuple[dict[str, object], list[str | int]]] = [
        ({"model": "gpt-4o"}, ["model"]),
        ({"name": ""}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"name": "a\x00b"}, ["name"]),
        ({"tags": "x"}, ["tags"]),
        ({"timezone": "Mars/Base"}, ["timezone"]),
        ({"metadata": {"a": "\x00"}}, ["metadata"]),
        ({"agent_type": "unheard_of"}, ["agent_type"]),
        ({"memory_blocks": [{"label": "human"}]}, ["memory_blocks", 0, "value"]),
        ({"tool_rules": [{"type": "x", "tool_name": "y"}]}, ["tool_rules", 0, "type"]),
        ({"block_ids": ["block-1"]}, ["block_ids", 0]),
    ]
    for body, where in cases:
        answer = http.post("/v1/agents/", json=body)
        assert answer.status_code == 422
        assert [problem["loc"] for problem in answer.json()["detail"]] == [["body", *where]]
    for content in (b"", b"{", b"[]", b'{"metadata": {"a": "\\ud800"}}', b"\xff", b"[" * 5000):
        headers = {"content-type": "application/json"}
        answer = http.post("/v1/agents/", content=content, headers=headers)
        assert answer.status_code in {400, 422}
    assert http.get("/v1/agents/").json() == []


def test_unknown_fields_are_ignored(http: httpx.Client) -> None:
    assert http.post("/v1/agents", json={"from_the_future": 1}).status_code == 200


def test_secrets_are_kept_by_name_and_never_shown(letta: Letta, http: httpx.Client) -> None:
    agent = letta.agents.create(secrets={"KEY": "s3cret", "OTHER": "v"})
    assert [(one.key, one.value) for one in agent.secrets or []] == [("KEY", ""), ("OTHER", "")]
    source = """
def key() -> str:
    "Say what stands for the key."
    import o
    return o.secrets.use(name="KEY")
"""
    tool = http.post("/v1/tools", json={"source_code": source, "grants": ["secrets.use:KEY"]})
    letta.agents.tools.attach(tool.json()["id"], agent_id=agent.id)
    ran = letta.agents.tools.run("key", agent_id=agent.id)
    assert (ran.status, ran.func_return) == ("success", "{{secret:KEY}}")
    changed = letta.agents.update(agent.id, secrets={"KEY": "new"})
    assert [one.key for one in changed.secrets or []] == ["KEY"]
    assert len(letta.agents.update(agent.id, name="n").secrets or []) == 1
    assert letta.agents.update(agent.id, secrets={}).secrets == []
    unset = letta.agents.tools.run("key", agent_id=agent.id)
    assert (unset.status, "has no secret" in str(unset.func_return)) == ("error", True)
    assert http.post("/v1/agents", json={"secrets": {"a b": "v"}}).status_code == 422


def test_what_is_not_offered_is_said(http: httpx.Client) -> None:
    answer = http.post("/v1/agents/", json={"from_template": "t"})
    assert (answer.status_code, answer.json()["code"]) == (501, "not_offered")


def test_ids(letta: Letta, http: httpx.Client) -> None:
    for wrong in ("agent-1", "block-00000001-0000-4000-8000-000000000000", UNKNOWN.upper()):
        assert http.get(f"/v1/agents/{wrong}").status_code == 422
    answer = http.get(f"/v1/agents/{UNKNOWN}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)
    assert http.get("/v1/agents/", params={"after": UNKNOWN}).status_code == 404
    assert http.get("/v1/agents/", params={"after": "x"}).status_code == 422
    assert http.get("/v1/agents/", params={"limit": 0}).status_code == 422


def test_unknown_tools_are_404(letta: Letta) -> None:
    with pytest.raises(letta_client.NotFoundError, match="no tool is named 'rm_rf'"):
        letta.agents.create(tools=["rm_rf"])
    with pytest.raises(letta_client.NotFoundError, match="no tool has the id"):
        letta.agents.create(tool_ids=[new_id("tool")])


def test_too_large_is_413(http: httpx.Client) -> None:
    body = b'{"name": "' + b"x" * 300_000 + b'"}'
    announced = http.post("/v1/agents/", content=body)
    assert (announced.status_code, announced.json()["code"]) == (413, "too_large")
    streamed = http.post("/v1/agents/", content=iter([body]))
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")
