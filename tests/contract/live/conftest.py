"""One platform as `o up` starts it, on real parts, for the tests of this folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from letta_client import Letta

from o_platform.testing import require
from o_platform.testing.postgres import short_folder


@dataclass(frozen=True)
class Live:
    """A running platform: where it listens, and its first operator's key."""

    home: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.home / "keys/operator.token").read_text().strip()

    def o(self, *arguments: str) -> str:
        environ = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
        environ |= {"O_HOME": str(self.home), "O_RUN_DIR": str(self.home.parent / "r")}
        environ |= {"O_LISTEN": f"127.0.0.1:{self.port}"}
        run = subprocess.run(
            [sys.executable, "-m", "o_platform.cli.main", *arguments],
            env=environ, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    for part in ("docker", "envoy", "postgres"):
        require(part)
    with short_folder() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        platform = Live(folder / "h", port)
        try:
            platform.o("up")
            yield platform
        finally:
            platform.o("down")


@pytest.fixture
def letta(live: Live) -> Iterator[Letta]:
    """The SDK; it refuses answers that do not fit its types."""
    with Letta(
        base_url=live.url, api_key=live.key, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client
