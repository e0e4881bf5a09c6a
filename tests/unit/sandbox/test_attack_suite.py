"""The suite sees each way in which a sandbox can fail: here is one that fails on demand."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from o_sandbox.attacks import Attack, Detector, Group, Suite, as_json, run_suite
from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome, Used
from o_sandbox.protocol import SandboxError
from o_sandbox.tool import Tool

pytestmark = pytest.mark.unit

WAYS = (
    ("harmless", set()),
    ("reads the file", {Detector.FILE}),
    ("changes the file", {Detector.FILE}),
    ("shows the variable", {Detector.VARIABLE}),
    ("makes a marker", {Detector.MARKER}),
    ("connects", {Detector.LISTENER}),
    ("keeps an argument", {Detector.LEAK}),
    ("claims", {Detector.CLAIM}),
    ("spoils the next call", {Detector.POISON}),
    ("keeps the next call from running", {Detector.POISON}),
    ("runs too long", {Detector.TIME}),
    ("uses CPU", {Detector.TIME}),
    ("takes memory", {Detector.MEMORY}),
    ("floods", {Detector.OUTPUT}),
)


def attack(way: str) -> Attack:
    limits = Limits(wall_s=0.05, cpu_s=0.05, output_bytes=1000, memory_bytes=1_000_000)
    tiers = frozenset({"restricted"})
    return Attack(f"ways/{way}", Group.HOST, way, way, tiers, frozenset(), limits)  # type: ignore[arg-type]


class CarelessSandbox:
    """Lets happen what the code of a tool names; runs the clean call as it is."""

    def __init__(self) -> None:
        self.residue = ""
        self.spoiled: str | None = None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def run(self, tool: Tool, args: Mapping[str, Any], *_: Any, **__: Any) -> Outcome:
        if tool.name == "probe":
            return self.clean(tool, args)
        return self.let(str(tool.code), args["t"])

    def clean(self, tool: Tool, args: Mapping[str, Any]) -> Outcome:
        self.residue = args["residue"]
        spoiled, self.spoiled = self.spoiled, None
        if spoiled == "dead":
            raise SandboxError("gone")
        names: dict[str, Any] = {"poison": spoiled} if spoiled else {}
        exec(tool.code, names)  # noqa: S102
        return Outcome("ok", names["probe"](**args))

    def let(self, way: str, t: Mapping[str, Any]) -> Outcome:  # noqa: C901
        match way:
            case "reads the file":
                return Outcome("error", error=Path(t["file"]).read_text())
            case "changes the file":
                Path(t["file"]).write_text("other")
            case "shows the variable":
                return Outcome("ok", os.environ[t["variable"]])
            case "makes a marker":
                Path(t["marker"]).mkdir()
            case "connects":
                socket.create_connection(("127.0.0.1", t["port"])).close()
            case "keeps an argument":
                return Outcome("ok", stdout=self.residue)
            case "claims":
                return Outcome("ok", t["claim"])
            case "spoils the next call":
                self.spoiled = "spoiled"
            case "keeps the next call from running":
                self.spoiled = "dead"
            case "runs too long":
                return Outcome("timeout", used=Used(wall_s=0.6))
            case "uses CPU":
                return Outcome("ok", used=Used(cpu_s=0.5))
            case "takes memory":
                return Outcome("ok", used=Used(memory_bytes=100_000_000))
            case "floods":
                return Outcome("ok", stdout="x" * 100_000)
            case "fails":
                raise ValueError("the host's own")
        return Outcome("ok")


async def play(*ways: str) -> Suite:
    attacks = [attack(way) for way in ways]
    return await run_suite("restricted", attacks, make=lambda _: CarelessSandbox(), lanes=1)


async def test_each_way_out_is_seen_by_its_detector_and_by_no_other() -> None:
    suite = await play(*(way for way, _ in WAYS))
    seen = {verdict.attack.partition("/")[2]: set(verdict.fired) for verdict in suite.verdicts}
    assert seen == dict(WAYS)
    assert not suite.held
    assert suite.again == 6, "what is late is looked at three times more"
    counted = as_json(suite)
    assert (counted["attacks"], counted["escaped"]) == (14, 7)
    assert (counted["poisoned"], counted["over_budget"], counted["host_failures"]) == (2, 4, 0)


async def test_a_sandbox_that_raises_is_no_sandbox_that_holds() -> None:
    suite = await play("harmless", "fails")
    assert [verdict.held for verdict in suite.verdicts] == [True, False]
    assert "the host's own" in suite.failures[0].detail
    assert not suite.held
    assert (await play("harmless")).held
