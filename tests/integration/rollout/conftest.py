"""The world of `rollout_world.py`, which is a program of its own as well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from o_platform.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def settings(short_tmp: Path) -> Settings:
    return Settings(home=short_tmp / "home", run_dir=short_tmp / "run")
