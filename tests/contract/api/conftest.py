"""The real application on a Unix socket, with a real database, and the real SDK as its client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from letta_client import Letta

from o_platform.api.app import create_app
from o_platform.api.listener import control_socket
from o_platform.db.engine import Database
from o_platform.db.models import Lineage
from o_platform.settings import Settings
from o_platform.testing.vault import vault_of_tests
from o_platform.wiring import Platform

OTHER_LINEAGE_KEY = 0x2A


class Answering(Platform):
    """Serves the API, and starts nothing in the background."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.close()


@pytest.fixture
def settings(short_tmp: Path) -> Settings:
    return Settings(home=short_tmp, run_dir=short_tmp, max_body_bytes=256 * 1024)


@pytest.fixture
def socket(settings: Settings, database_url: str) -> Iterator[Path]:
    asyncio.run(_seed(database_url))
    path = settings.run / "control.sock"
    listener = control_socket(path)
    platform = Answering(settings, Database(database_url, vault_of_tests()))
    config = uvicorn.Config(create_app(platform), log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield path
    server.should_exit = True
    thread.join()


@pytest.fixture
def http(socket: Path) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(socket))
    with httpx.Client(transport=transport, base_url="http://control", timeout=20) as client:
        yield client


@pytest.fixture
def letta(http: httpx.Client) -> Letta:
    """The SDK; it refuses answers that do not fit its types."""
    return Letta(
        base_url="http://control",
        api_key="any",
        http_client=http,
        max_retries=0,
        _strict_response_validation=True,
    )


async def _seed(database_url: str) -> None:
    database = Database(database_url, vault_of_tests())
    async with database.unit_of_work() as session:
        session.add(Lineage(name="default", key=1))
        session.add(Lineage(name="other", key=OTHER_LINEAGE_KEY))
    await database.close()
