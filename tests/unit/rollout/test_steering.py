"""No start of a process waits for heavy imports: least of all a spare that aborts a rollout."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

STATISTICS = ("scipy", "numpy")
HEAVY = (*STATISTICS, "docker", "dbos", "locust")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("o_platform.wiring.steering", HEAVY), ("o_platform.wiring.delivery", STATISTICS)],
)
def test_no_start_waits_for_heavy_imports(module: str, heavy: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
