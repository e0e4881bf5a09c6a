"""The TypeScript SDK (pinned) against a running platform: what a program of it does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.contract.live.conftest import Live

from o_platform.testing import require

pytestmark = pytest.mark.contract
PROGRAM = Path(__file__).with_name("typescript")


def test_a_program_runs(live: Live, tmp_path: Path) -> None:
    require("node")
    shutil.copytree(PROGRAM, tmp_path, dirs_exist_ok=True)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=tmp_path, check=True, capture_output=True, timeout=180,
    )  # fmt: skip
    environ = {**os.environ, "LETTA_BASE_URL": live.url, "LETTA_API_KEY": live.key}
    run = subprocess.run(
        ["node", "smoke.mjs"], cwd=tmp_path, env=environ, capture_output=True, text=True,
        timeout=180, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr
