"""Ids: their form, and the routing key they carry."""

from __future__ import annotations

import time
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_contracts.ids import is_valid_id, lineage_key, new_agent_id, new_id, routing_key

pytestmark = pytest.mark.unit


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_an_agents_id_names_its_lineage(key: int) -> None:
    agent_id = new_agent_id(key)
    assert is_valid_id(agent_id, "agent")
    assert lineage_key(agent_id) == key
    assert agent_id.startswith(f"agent-{routing_key(agent_id)}-4")


def test_other_ids_begin_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = [UUID(new_id("message").removeprefix("message-")) for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert {each.version for each in made} == {7}
    assert {each.variant for each in made} == {RFC_4122}
    assert all(before <= each.int >> 80 <= after for each in made)
    assert len({each.int & (2**62 - 1) for each in made}) == 1000


@pytest.mark.parametrize("wrong", ["{}\n", " {}", "{}0", "agent_{}", ""])
def test_what_only_looks_like_an_id_is_none(wrong: str) -> None:
    assert not is_valid_id(wrong.format(new_id("message")), "message")


def test_only_agents_and_conversations_have_a_routing_key() -> None:
    with pytest.raises(ValueError, match="not an agent or conversation id"):
        routing_key(new_id("message"))
    with pytest.raises(ValueError, match="unknown id prefix"):
        new_id("cat")
