"""The seed genome as an instance, with the real bridge: from a row in the database to an answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from o_contracts.ids import BENCH_LINEAGE_KEY, new_agent_id
from o_platform.bridge.process import Bridge
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.images.repository import save_variant
from o_platform.runtimes.protocol import AGENT_ARGUMENTS
from o_platform.settings import Limits

from .conftest import House

pytestmark = pytest.mark.integration


@pytest.fixture
async def bridge(house: House) -> AsyncIterator[Bridge]:
    bridge = Bridge(house.settings, house.database.url)
    await bridge.start()
    yield bridge
    await bridge.stop()


@pytest.mark.usefixtures("bridge")
async def test_a_turn_in_an_instance_of_the_seed_genome(house: House) -> None:
    genome = Genome.from_dir(seed_genome_dir())
    async with house.database.unit_of_work() as session:
        await save_variant(session, genome, "seed")
    fleet = house.fleets(AGENT_ARGUMENTS)
    started = time.perf_counter()
    view = await fleet.ensure("default", genome.digest, "bench", limits=Limits())
    assert time.perf_counter() - started < 15
    agent_id = new_agent_id(BENCH_LINEAGE_KEY)
    transport = httpx.AsyncHTTPTransport(uds=str(view.agent_socket))
    async with httpx.AsyncClient(transport=transport, timeout=10) as client:
        answer = await client.post(
            f"http://o/v1/agents/{agent_id}/messages",
            json={"messages": [{"role": "user", "content": "hello"}]},
        )
    assert answer.status_code == 200, answer.text
    assert "echo: hello" in answer.text
    usage = await fleet.usage(view.id)
    assert usage.memory_bytes < 80 << 20
    started = time.perf_counter()
    await fleet.retire(view.id)
    assert time.perf_counter() - started < 15
    assert "killed" not in await fleet.logs(view.id)
