"""Every method of the SDK is driven against a running platform; the compatibility table says so.

`O_UPDATE_SNAPSHOTS=1 pytest tests/contract/live/test_every_method.py` writes the table anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from letta_client import APIStatusError, Letta
from tests.contract.live.conftest import Live
from tests.contract.live.methods import agents, history, mcp_servers, memory, tools
from tests.contract.live.methods.registry import DRIVERS, World, sdk_methods

from o_platform.api.surface import NOT_OFFERED

pytestmark = pytest.mark.contract
TABLE = Path(__file__).parents[3] / "platform/docs/letta-compatibility.md"
MODULES = (agents, history, mcp_servers, memory, tools)
METHODS = sdk_methods()
UPDATING = bool(os.environ.get("O_UPDATE_SNAPSHOTS"))
_HEAD = """\
# Compatibility with the Letta V1 API

What became of each method of `letta-client` (Python; the TypeScript SDK calls the same paths). The
table is written by a test that calls every method against a running platform
(`tests/contract/live/test_every_method.py`), and CI fails when it no longer says the truth.

*works*: as the SDK's types and the public documentation say. *differs*: works, with the
difference named. *not offered*: answers 501 with the sentence in the notes, never 404.

| method | verdict | notes |
|---|---|---|
"""


@pytest.fixture
def world(live: Live, letta: Letta) -> Iterator[World]:
    world = World(letta, live)
    yield world
    for agent_id in world.made:
        try:
            letta.agents.delete(agent_id)
        except APIStatusError as error:
            assert error.status_code == 404  # noqa: PT017 — the driver deleted it


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, str]]:
    """Rows of the table by method, as this run found them; written down at its end if asked to."""
    rows: dict[str, str] = {}
    yield rows
    if UPDATING:
        present = _present() | rows
        TABLE.write_text(_HEAD + "".join(present[m] + "\n" for m in METHODS if m in present))


@pytest.mark.parametrize("method", METHODS)
def test_does_what_the_table_says(world: World, found: dict[str, str], method: str) -> None:
    found[method] = _row(world, method)
    assert UPDATING or found[method] == _present().get(method), "see the docstring of this file"


def test_the_table_has_a_row_for_every_method_and_no_other() -> None:
    assert UPDATING or TABLE.read_text() == _HEAD + "".join(f"{_present()[m]}\n" for m in METHODS)


def test_every_method_has_a_driver() -> None:
    assert sorted(DRIVERS) == METHODS


def _row(world: World, method: str) -> str:
    driver = DRIVERS[method]
    try:
        driver.drive(world)
    except APIStatusError as refusal:
        if refusal.status_code != 501:
            raise
        return f"| `{method}` | not offered | {_sentence(refusal)} |"
    return f"| `{method}` | {'differs' if driver.differs else 'works'} | {driver.differs} |"


def _present() -> dict[str, str]:
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    return {line.split("`")[1]: line for line in lines if line.startswith("| `")}


def _sentence(refusal: APIStatusError) -> str:
    assert isinstance(refusal.body, dict)
    sentence = str(refusal.body["detail"])
    assert refusal.body == {"detail": sentence, "code": "not_offered"}
    assert sentence in {row.sentence for row in NOT_OFFERED}
    return sentence
