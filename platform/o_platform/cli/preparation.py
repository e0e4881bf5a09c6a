"""What must be there before the first child starts: folders, users, the engine, files."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from o_platform.cli import terminal
from o_platform.cli.children import embedded_server, envoy_user, supervisor_spec
from o_platform.cli.engine import settle_runtime
from o_platform.cli.listener import require_certificate, require_free_port, warn_if_open
from o_platform.cli.origins import keep_origins
from o_platform.cli.postmaster import clear_dead_postmaster
from o_platform.cli.reach import require_reachable
from o_platform.db.embedded import EmbeddedServer
from o_platform.errors import SetupError
from o_platform.runtimes.folders import InstanceFolders
from o_platform.settings import Settings
from o_platform.supervisor.loop import end_leftovers
from o_platform.supervisor.spec import SupervisorSpec
from o_platform.traffic.process import envoy_paths, prepare_run
from o_platform.traffic.snapshot import MAX_SOCKET_PATH

_ANY_INSTANCE: Final = "0" * 12


def make_folders(settings: Settings) -> None:
    """Make `<home>` and `<run>`, and check that sockets will fit below `<run>`.

    Raises:
        SetupError: one cannot be made or written to, or `<run>` is too long; says which and why.
    """
    for variable, folder in (("O_HOME", settings.home), ("O_RUN_DIR", settings.run)):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"o")
        except OSError as error:
            raise SetupError(
                f"{folder} cannot be written to ({error.strerror}); make room or change its "
                f"permissions, or choose another folder with {variable}"
            ) from error
    longest = InstanceFolders(settings.run.absolute()).bridge_socket(_ANY_INSTANCE)
    if (excess := len(os.fsencode(longest)) - MAX_SOCKET_PATH) > 0:
        raise SetupError(
            f"O_RUN_DIR={settings.run} is {excess} bytes too long: the paths of sockets below it "
            f"may have {MAX_SOCKET_PATH} at most; choose a shorter folder"
        )


def prepare(settings: Settings) -> str:
    """Prepare everything, and write the supervisor's specification.

    Returns:
        Where instances will run: `docker` or `process`.

    Raises:
        SetupError: this machine lacks something; says what to do.
    """
    for folder, mode in ((settings.home / "log", 0o750), (settings.home / "keys", 0o700)):
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    require_reachable(settings.home, settings.run)
    require_certificate(settings)
    warn_if_open(settings)
    with terminal.step("container engine") as shown:
        runtime, shown.detail = settle_runtime(settings)
    server = embedded_server(settings)
    if server is not None:
        _prepare_database(server)
    envoy = envoy_user(settings)
    spec = supervisor_spec(settings, server, runtime, envoy)
    _clear_the_way(settings, spec)
    if server is not None:
        clear_dead_postmaster(server.data, server.socket_dir)
    prepare_run(settings, *(envoy or ()))
    _write_private(spec_file(settings), spec.to_json())
    keep_origins(settings)
    return runtime


def has_base_image() -> bool:
    """Whether the engine has a base image, if perhaps of an earlier version.

    The control plane makes the one it needs; this only tells if there is something to wait for.
    """
    from o_platform.images.base import REPOSITORY
    from o_platform.images.engine import EngineClient

    async def ask() -> bool:
        engine = EngineClient()
        try:
            return bool(await engine.call(lambda api: api.images(REPOSITORY, quiet=True)))
        finally:
            await engine.close()

    return asyncio.run(ask())


def make_base_image(settings: Settings) -> float:
    """Make the base image of instances unless it is there; the seconds that took."""
    from o_platform.images.base import BaseImages
    from o_platform.images.engine import EngineClient

    async def ensure() -> None:
        engine = EngineClient()
        try:
            await BaseImages(engine, settings).ensure()
        finally:
            await engine.close()

    began = time.perf_counter()
    asyncio.run(ensure())
    return time.perf_counter() - began


def spec_file(settings: Settings) -> Path:
    """Where the supervisor's specification is."""
    return settings.run / "supervisor.json"


def _clear_the_way(settings: Settings, spec: SupervisorSpec) -> None:
    """End what a killed supervisor left over, and forget what Envoy served then."""
    for name, pid in end_leftovers(spec):
        terminal.warn(f"ended `{name}` (process {pid}), left over by a killed supervisor")
    require_free_port(settings)
    # Derived anew from the database: an earlier version's resources may not suit this one.
    shutil.rmtree(envoy_paths(settings).folder, ignore_errors=True)


def _prepare_database(server: EmbeddedServer) -> None:
    if (server.data / "PG_VERSION").exists():
        server.prepare()
        return
    with terminal.step("database folder"):
        server.prepare()


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
