"""Hostile tools, and the proof that the sandboxes hold against them.

`corpus` reads the payloads, `suite` runs them against a tier and watches `canaries`, `control` runs
them on plain CPython in a throw-away container, where they must succeed: a payload that harms
nothing anywhere proves nothing. Payloads are bounded and touch only canaries, so that a sandbox
that fails does no harm to the machine. What a clean run does not prove: that there is no attack
that nobody thought of, and anything about the kernel or Wasmtime below the sandboxes.

    suite = asyncio.run(run_suite("wasm", load()))
    print(suite.held, [each.attack for each in suite.failures])
"""

from o_sandbox.attacks.attack import Attack, Detector, Group
from o_sandbox.attacks.corpus import load, stratified
from o_sandbox.attacks.suite import run_suite
from o_sandbox.attacks.verdict import Suite, Verdict, as_json

__all__ = [
    "Attack",
    "Detector",
    "Group",
    "Suite",
    "Verdict",
    "as_json",
    "load",
    "run_suite",
    "stratified",
]
