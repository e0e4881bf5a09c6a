"""What the control plane answers: each of its most used requests, sixteen at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from o_benchmarks.demo.installation import answer
from o_benchmarks.suite.figures import Figures
from o_benchmarks.suite.generator import Request, write_requests
from o_benchmarks.suite.testbed import Testbed, new_agent_body
from o_benchmarks.suite.throughput import summary, window

CONCURRENCY: Final = 16
AGENTS: Final = 1_000
LISTED: Final = 10
Blocks = Sequence[str]
Agents = Sequence[str]


async def measure_crud(bed: Testbed) -> Figures:
    """Requests of each kind for one window; creating an agent also one at a time."""
    agents = await bed.agent_ids(AGENTS)
    async with bed.operator() as api:
        made = [
            await answer(api, "POST", "/v1/blocks/", json=_block(number))
            for number in range(AGENTS // 10)
        ]
    blocks = [str(block["id"]) for block in made]
    roots = await bed.roots()
    folder = bed.folder("crud")
    figures: Figures = {}
    for name, requests in _kinds(agents, blocks).items():
        await _sent_once(bed, requests[0])
        file = write_requests(folder / name, requests)
        windows = [
            await window(bed, bed.base_url, roots, file, CONCURRENCY) for _ in range(bed.rounds)
        ]
        figures |= summary(f"crud.{name}", windows)
    alone = [
        await window(bed, bed.base_url, roots, folder / "agent_create", 1)
        for _ in range(bed.rounds)
    ]
    return figures | summary("crud.agent_create_alone", alone)


async def _sent_once(bed: Testbed, request: Request) -> None:
    """What is compiled with the first request of a kind is none of the others' cost."""
    content = request.body or None
    headers = {"content-type": "application/json"}
    async with bed.operator() as api:
        response = await api.request(request.method, request.path, content=content, headers=headers)
        response.raise_for_status()


def _kinds(agents: Agents, blocks: Blocks) -> dict[str, list[Request]]:
    """Requests by the name of their kind; they are sent again and again."""

    def of_agents(method: str, end: str, body: str = "") -> list[Request]:
        return [Request(method, f"/v1/agents/{agent_id}{end}", body) for agent_id in agents]

    listed = f"?limit={LISTED}"
    return {
        "agent_create": [Request("POST", "/v1/agents/", json.dumps(new_agent_body("o/echo")))],
        "agent_get": of_agents("GET", ""),
        "agent_list": [Request("GET", f"/v1/agents/{listed}")],
        "agent_update": of_agents("PATCH", "", '{"description": "measured"}'),
        "block_create": [Request("POST", "/v1/blocks/", json.dumps(_block(0)))],
        "block_get": [Request("GET", f"/v1/blocks/{block_id}") for block_id in blocks],
        "block_list": [Request("GET", f"/v1/blocks/{listed}")],
        "block_update": [
            Request("PATCH", f"/v1/blocks/{block_id}", json.dumps({"value": f"text {n}"}))
            for n, block_id in enumerate(blocks)
        ],
        "messages_list": of_agents("GET", f"/messages{listed}"),
    }


def _block(number: int) -> dict[str, Any]:
    return {"label": "bench", "value": f"A block to measure, number {number}."}
