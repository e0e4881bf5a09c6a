"""The catalogue of tools, and the defaults it is asked for."""

from __future__ import annotations

import pytest

from o_contracts.ids import is_valid_id
from o_platform.agents.defaults import generated_name
from o_platform.agents.tools import ToolCatalogue, tool_id
from o_platform.errors import NotFoundError
from o_tools.catalogue import SPECS

pytestmark = pytest.mark.unit


def test_ids_are_valid_and_never_change() -> None:
    assert all(is_valid_id(tool_id(name), "tool") for name in SPECS)
    assert tool_id("memory_insert") == "tool-ff273d82-09c8-4e18-8402-3dc2a9f88254"


def test_names_and_ids_are_known() -> None:
    catalogue = ToolCatalogue(SPECS.values())
    assert catalogue.known("send_message") == "send_message"
    assert catalogue.named(tool_id("memory_insert")) == "memory_insert"
    with pytest.raises(NotFoundError, match="'nope'"):
        catalogue.known("nope")
    with pytest.raises(NotFoundError, match="tool-1"):
        catalogue.named("tool-1")


def test_base_tools_are_those_that_exist() -> None:
    whole, little = ToolCatalogue(SPECS.values()), ToolCatalogue([SPECS["memory_insert"]])
    assert whole.base("letta_v1_agent") == [
        "memory_insert",
        "memory_replace",
        "conversation_search",
    ]
    assert "send_message" in whole.base("memgpt_agent")
    assert whole.base("react_agent") == []
    assert little.base("letta_v1_agent") == ["memory_insert"]


def test_generated_names_differ() -> None:
    assert len({generated_name() for _ in range(50)}) > 45
