"""The main job on real parts: one improvement promoted, three sabotages out, no client noticed.

The same run as `make demo`: PostgreSQL, Envoy, containers, locust, and three kills on the way.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from o_platform.testing import require

pytestmark = pytest.mark.e2e

LIMIT_S = 600


def test_the_demo_ends_as_it_must(tmp_path: Path) -> None:
    for part in ("docker", "envoy", "postgres"):
        require(part)
    run = subprocess.run(
        [sys.executable, "-m", "o_benchmarks.demo", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    told = run.stdout[-6000:] + run.stderr[-3000:]
    assert run.returncode == 0, told
    report = json.loads((tmp_path / "report.json").read_text())

    assert report["failed"] == 0
    assert report["duplicated"] == 0
    assert report["committed"] == report["sent"] > 2_000
    assert report["leaked"] == []
    for killed in ("stable worker", "bridge", "control plane"):
        assert f"SIGKILL {killed}" in run.stdout

    better, crashing, slow, spying = report["attempts"]
    assert better["outcome"] == "promoted"
    assert better["measured"]["prompt_tokens"] < -20
    assert crashing["outcome"] in {"rejected", "rolled_back"}
    assert (slow["outcome"], slow["stopped_by"]) == ("rejected", "load")
    assert (spying["outcome"], spying["stopped_by"]) == ("rejected", "contract")
    assert all(attempt["passage_id"] for attempt in report["attempts"])
    assert (tmp_path / "traffic.png").stat().st_size > 10_000
