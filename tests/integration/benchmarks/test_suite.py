"""The instruments of `make bench` on real parts: do they see what is there?"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from o_benchmarks.suite.clients import Client, SteadyTurns, first_success, turn
from o_benchmarks.suite.histories import SAID, add_messages
from o_benchmarks.suite.population import add_agents
from o_benchmarks.suite.processes import cpu_us, footprint
from o_benchmarks.suite.raw_path import raw_path
from o_contracts.ids import is_valid_id, new_agent_id
from o_platform.db.sealed_columns import BLOCK_VALUE, MESSAGE_BODY
from o_platform.db.sealing import is_sealed
from o_platform.testing import require
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.integration
BURN = """
import os, sys, time
if os.fork():
    os.wait()
    sys.stdin.read()
while time.process_time() < 0.3:
    pass
"""


async def test_the_raw_path_answers_moves_and_recovers(short_tmp: Path) -> None:
    require("envoy")
    request = turn(new_agent_id(1), "hello")
    async with raw_path(short_tmp) as path:
        client = Client(path.address)
        assert (await client.ask(request)).body == b"stable"
        await path.move_all()
        assert (await client.ask(request)).body == b"canary"
        client.close()

        load = SteadyTurns(path.address, [new_agent_id(1)], "test", rate_rps=200, connections=2)
        running = asyncio.create_task(load.run())
        assert await first_success(path.address, [request]) < 10
        await _until(lambda: load.tally.answered > 0)
        os.kill(path.envoy.pid, signal.SIGKILL)
        await _until(lambda: len(load.tally.failures) > 0)
        load.stop()
        await running
        assert load.tally.sent == load.tally.answered + len(load.tally.failures)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


def test_cpu_time_of_children_that_ended_is_not_lost() -> None:
    process = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE)
    try:
        before = cpu_us({"burner": process.pid})["burner"]
        while cpu_us({"burner": process.pid})["burner"] < 290_000:
            assert process.poll() is None
        assert before <= 290_000
        assert footprint(process.pid).pss > 1_000_000
    finally:
        process.kill()
        process.communicate()


def test_a_population_is_made_of_what_the_api_made(database_url: str) -> None:
    template, vault = new_agent_id(1), vault_of_tests()
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO lineages (name, key) VALUES ('default', 1)")
        connection.execute(
            "INSERT INTO agents (id, lineage, name, agent_type, system, model, model_settings,"
            " embedding, tools, tool_rules, tags) VALUES (%s, 'default', 'ada', 't', 's',"
            " 'o/echo', %s, 'e', '{a,b}', %s, '{}')",
            (template, Jsonb({"temperature": 1}), Jsonb([])),
        )
        connection.execute(
            "INSERT INTO blocks (id, label, value, char_limit, read_only, metadata, tags) VALUES"
            " ('block-1', 'human', %s, 100, false, '{}', '{}')",
            (BLOCK_VALUE.sealed(vault, "Ada", "block-1"),),
        )
        connection.execute(
            "INSERT INTO agent_blocks VALUES (%s, 'human', 'block-1', 0)", (template,)
        )

    ids = add_agents(database_url, vault, template, 50)

    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT a.id, a.tools, b.id, b.value FROM agents a JOIN agent_blocks h ON"
            " h.agent_id = a.id JOIN blocks b ON b.id = h.block_id WHERE a.id <> %s",
            (template,),
        ).fetchall()
    assert sorted(ids) == sorted(row[0] for row in rows)
    assert len({row[2] for row in rows}) == 50
    assert all(is_valid_id(row[2], "block") for row in rows)
    assert all(is_sealed(row[3]) for row in rows)
    opened = [BLOCK_VALUE.opened(vault, row[3], row[2]) for row in rows]
    assert {(tuple(row[1]), v) for row, v in zip(rows, opened, strict=True)} == {
        (("a", "b"), "Ada")
    }

    add_messages(database_url, vault, ids[:3], 10)

    with psycopg.connect(database_url) as connection:
        said = connection.execute("SELECT agent_id, id, body FROM messages ORDER BY seq").fetchall()
        indexed = connection.execute("SELECT count(*) FROM message_index").fetchone()
    assert [row[0] for row in said] == [ids[n // 2 % 3] for n in range(10)]
    assert indexed == (10,)
    message = MESSAGE_BODY.opened(vault, said[1][2], said[1][1])
    assert (message["type"], message["content"]) == SAID[1]
