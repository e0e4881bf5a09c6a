"""`make bench-sandbox`: every row of what is wanted has a figure, and what is left out is said."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from o_benchmarks.sandboxes.__main__ import TARGETS, show
from o_benchmarks.suite.figures import Report

pytestmark = pytest.mark.unit


def test_a_figure_is_shown_beside_what_is_wanted_of_it() -> None:
    report = Report(
        figures={"wasm.warm.p50_ms": 0.4, "wasm.two_engines.rps": 400, "subprocess.p50_ms": 20},
        failed={"eryx": "no wheel [here]"},
    )
    out = io.StringIO()
    show(report, Console(file=out, width=100))
    lines = {line.split()[0]: line for line in out.getvalue().splitlines() if line.strip()}
    assert "holds" in lines["wasm.warm.p50_ms"]
    assert "missed" in lines["wasm.two_engines.rps"]
    assert not {"holds", "missed"} & set(lines["subprocess.p50_ms"].split())
    assert lines["left"].strip() == "left out: eryx: no wheel [here]"


def test_all_that_is_wanted_has_a_target() -> None:
    assert {name: target.limit for name, target in TARGETS.items()} == {
        "wasm.warm.p50_ms": 0.5, "wasm.warm.p99_ms": 2, "wasm.cold.p50_ms": 4,
        "restricted.p50_ms": 0.15, "wasm.two_engines.rps": 450, "wasm.idle_mb": 1,
        "first_use.empty.start_s": 15, "first_use.again.load_ms": 50,
        "row.grown_mb": 5, "row.grown_descriptors": 0, "row.grown_threads": 0,
    }  # fmt: skip
