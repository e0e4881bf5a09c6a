"""Fixtures shared by every test: real PostgreSQL databases and short folders."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from o_platform.db.embedded import EmbeddedServer
from o_platform.db.engine import Database
from o_platform.testing import require
from o_platform.testing.postgres import cloned_database, short_folder, template_server
from o_platform.testing.vault import TEST_KEY, vault_of_tests

os.environ["O_ENCRYPTION_KEY"] = TEST_KEY


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[EmbeddedServer]:
    require("postgres")
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "postgres"
    with template_server(shared) as server:
        yield server


@pytest.fixture
def database_url(postgres: EmbeddedServer) -> Iterator[str]:
    with cloned_database(postgres) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, vault_of_tests())
    yield database
    await database.close()
