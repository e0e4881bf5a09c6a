"""One engine for all tests of this folder: it outlives those who call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from o_sandbox.cache import default_folder
from o_sandbox.container.sandbox import ContainerSandbox
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.keeper import EngineKeeper
from o_sandbox.module import module_settings
from o_sandbox.protocol import Sandbox
from o_sandbox.restricted.sandbox import RestrictedSandbox
from o_sandbox.wasm import WasmSandbox


@pytest.fixture(scope="session")
def engine() -> Iterator[EngineKeeper]:
    keeper = EngineKeeper(EngineSettings(cache=str(default_folder())))
    keeper.ensure()
    yield keeper
    keeper.close()


@pytest.fixture(scope="session")
def modules() -> Iterator[EngineKeeper]:
    keeper = EngineKeeper(module_settings())
    keeper.ensure()
    yield keeper
    keeper.close()


@pytest.fixture(params=["wasm", "restricted", "container"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """Every tier that runs Python."""
    made: Sandbox
    match request.param:
        case "restricted":
            made = RestrictedSandbox()
        case "container":
            made = ContainerSandbox()
        case _:
            made = WasmSandbox(paths=[request.getfixturevalue("engine").path])
    await made.start()
    yield made
    await made.close()
