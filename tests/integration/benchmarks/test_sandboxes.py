"""The measurements of `make bench-sandbox` on real sandboxes, a few calls each."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial

import pytest

from o_benchmarks.sandboxes.measures import measure_latency
from o_benchmarks.sandboxes.rivals import asked, process_call, rivals
from o_platform.testing import require

pytestmark = pytest.mark.integration
SERVES = "import sys\nfor line in sys.stdin: print([int(line) * 2, 1.5], flush=True)"


async def test_each_tier_is_measured_beside_a_process_and_docker_exec() -> None:
    require("docker")
    async with rivals(packages={}) as found:
        assert found.left_out == {}
        others = {"subprocess": process_call, **found.calls}
        figures = await measure_latency(2, others)
    names = {name.removesuffix(".p50_ms") for name in figures if name.endswith(".p50_ms")}
    assert names == {
        "wasm.warm", "wasm.cold", "restricted", "module.javascript", "container", "subprocess",
        "docker_exec", "round_trip",
    }  # fmt: skip
    assert all(0 < figures[f"{n}.p50_ms"] <= figures[f"{n}.p99_ms"] for n in names), figures
    assert figures["restricted.p50_ms"] < figures["docker_exec.p50_ms"]


async def test_a_rival_is_timed_by_its_own_process_and_must_be_right() -> None:
    for program, passes in ((SERVES, True), (SERVES.replace("* 2", "* 3"), False), ("", False)):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", program,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        call = partial(asked, json.dumps("rival"), process)
        if passes:
            assert [await call(), await call()] == [1.5, 1.5]
        else:
            with pytest.raises(RuntimeError, match="rival"):
                await call()
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
