"""What a spare needs to abort a rollout must not take a second to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

HEAVY = ("scipy", "numpy", "docker", "dbos", "locust")


def test_steering_imports_nothing_heavy() -> None:
    program = (
        "import sys, o_platform.wiring.steering; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
