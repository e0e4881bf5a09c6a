"""The arithmetic of `make bench`: what is parsed, summed, judged and compared."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from o_benchmarks.suite.comparison import compare
from o_benchmarks.suite.figures import TARGETS, Report, Target, median, rounded
from o_benchmarks.suite.generator import GeneratorError, parse_load
from o_benchmarks.suite.processes import cpu_between, parse_rollup
from o_benchmarks.suite.tables import print_comparison, print_report
from o_benchmarks.suite.throughput import Window, summary

pytestmark = pytest.mark.unit

PRINTED = """Running 4s test @ http://127.0.0.1:8302
  1 threads and 32 connections

{"answered":1000,"took_us":2000000,"p50_us":1500,"p99_us":9000,"max_us":9500,"refused":1,"unanswered":2}
"""
ROLLUP = """560e3000-7fff Rollup
Rss:               12288 kB
Pss:                4096 kB
Pss_Dirty:          1024 kB
"""


def window(answered: int, p50_us: float, bridge_us: float) -> Window:
    load = parse_load(
        f'{{"answered":{answered},"took_us":1000000,"p50_us":{p50_us},"p99_us":{p50_us * 3},'
        '"max_us":9,"refused":0,"unanswered":0}',
        cpu_us=20.0 * answered,
    )
    return Window(load, {"envoy": 100.0 * answered, "bridge": bridge_us * answered})


def test_a_load_is_read_from_the_last_line() -> None:
    load = parse_load(PRINTED, cpu_us=500.0)

    assert (load.rps, load.p99_us, load.refused, load.unanswered) == (500.0, 9000, 1, 2)


@pytest.mark.parametrize("output", ["", "unable to connect", PRINTED.replace(":1000,", ":0,")])
def test_a_load_without_answers_is_an_error(output: str) -> None:
    with pytest.raises(GeneratorError):
        parse_load(output, cpu_us=0.0)


def test_windows_are_summed_by_what_was_answered() -> None:
    figures = summary("turns.c32", [window(100, 2000, 50), window(300, 4000, 90)])

    assert figures["turns.c32.rps"] == 200
    assert figures["turns.c32.p50_ms"] == 3
    assert figures["turns.c32.bridge_us"] == 80
    assert figures["turns.c32.cpu_us"] == 180
    assert figures["turns.c32.generator_us"] == 20


def test_new_processes_count_from_zero() -> None:
    used = cpu_between({"envoy": 70.0}, {"envoy": 100.0, "bridge": 5.0})

    assert used == {"envoy": 30.0, "bridge": 5.0}


def test_memory_is_read_in_bytes() -> None:
    assert parse_rollup(ROLLUP)["Pss"] == 4 * 1024 * 1024


def test_medians_and_digits() -> None:
    assert [median([3, 1, 2]), median([4, 1, 2, 3])] == [2, 2.5]
    assert [rounded(v) for v in (0, 0.123456, 12.3456, 1234.5)] == [0, 0.123, 12.3, 1234]
    with pytest.raises(ValueError, match="nothing"):
        median([])


def test_targets_know_their_direction() -> None:
    assert Target("turns.c64.rps", 5000).holds(5001)
    assert not Target("turns.c64.rps", 5000).holds(4999)
    assert Target("kill.worker.next_200_ms", 50).holds(50)
    assert not Target("kill.worker.next_200_ms", 50).holds(51)
    assert len({target.figure for target in TARGETS}) == len(TARGETS)


def test_a_comparison_tells_better_from_worse_and_from_noise() -> None:
    baseline = Report({"t.rps": 100, "t.p50_ms": 10, "t.cpu_us": 10, "t.gone": 1, "other.x": 1})
    now = Report({"t.rps": 150, "t.p50_ms": 15, "t.cpu_us": 10.5, "t.failed": 0})

    comparison = compare(now, baseline)

    verdicts = {change.figure: change.verdict for change in comparison.changes}
    assert verdicts == {"t.rps": "better", "t.p50_ms": "worse", "t.cpu_us": "same"}
    assert [change.ratio for change in comparison.changes] == [1.5, 1.5, 1.05]
    assert (comparison.only_now, comparison.only_baseline) == (["t.failed"], ["t.gone"])


def test_zero_has_no_ratio_unless_it_stays() -> None:
    baseline = Report({"kill.failed": 0, "kill.lost": 0})
    changes = compare(Report({"kill.failed": 3, "kill.lost": 0}), baseline).changes

    assert [(c.ratio, c.verdict) for c in changes] == [(None, "worse"), (1.0, "same")]


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    report = Report({"turns.c64.rps": 5123.4}, machine={"cpus": 2}, measured=["turns"])
    report.save(tmp_path / "out" / "bench.json")

    assert Report.load(tmp_path / "out" / "bench.json") == report
    (tmp_path / "bad.json").write_text('{"figure": 1}')
    with pytest.raises(ValueError, match=r"bad\.json is not a report"):
        Report.load(tmp_path / "bad.json")


def test_tables_show_loads_targets_and_changes() -> None:
    output = io.StringIO()
    console = Console(file=output, width=160)
    report = Report(summary("turns.c32", [window(100, 2000, 50)]) | {"kill.worker.failed": 0})

    print_report(console, report)
    print_comparison(console, compare(report, report), "itself")

    text = output.getvalue()
    assert "bridge" in text
    assert "turns.c32.p50_ms" in text
    assert "holds" in text
    assert "1.00" in text
