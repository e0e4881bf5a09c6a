"""A platform of the demo's own: a throw-away home, a free port, the scripted proposer."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from o_platform.cli.children import embedded_server
from o_platform.db.keys import KeySource, open_vault
from o_platform.db.sealing import Vault
from o_platform.settings import Limits, Settings

CANARY_VARIABLE = "O_DEMO_SECRET"
CANARY_VALUE = "this-must-never-leave-the-host"
_O = str(Path(sys.executable).with_name("o"))


class InstallationError(Exception):
    """`o` failed; the message ends with what it printed."""


class IsolatedSettings(Settings):
    """Settings that are what they are given, or the defaults: no environment variable counts."""

    limits: Limits = Field(default_factory=Limits.model_construct)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What it is given, alone."""
        return (init_settings,)


def isolated_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what another installation is set up by: `DATABASE_URL` and `O_…`."""
    return {
        name: value
        for name, value in environment.items()
        if name != "DATABASE_URL" and not name.upper().startswith("O_")
    }


class Installation:
    """Starts, inspects and stops one platform through the `o` command and its operator API."""

    def __init__(self, home: Path, script: Path) -> None:
        """`home` must be empty; `script` is the YAML of `o/scripted`."""
        self.home = home
        self.port = free_port()
        self.environment = isolated_environment(os.environ) | {
            "O_HOME": str(home),
            "O_LISTEN": f"127.0.0.1:{self.port}",
            "O_SCRIPTED_MODEL": str(script),
            "O_EVOLUTION_MODEL": "o/scripted",
            CANARY_VARIABLE: CANARY_VALUE,
        }
        self.settings = IsolatedSettings(home=home)
        """Where its files and sockets are."""

    @property
    def base_url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        """URL of its embedded PostgreSQL."""
        server = embedded_server(self.settings)
        if server is None:
            raise InstallationError(f"{self.home} has no embedded PostgreSQL")
        return server.url

    @property
    def vault(self) -> Vault:
        """Opens what is sealed in its database."""
        return open_vault(KeySource.of_environ(self.environment))

    async def up(self, output: IO[str] = sys.stdout) -> None:
        """Run `o up`, which tells its progress to `output`.

        Raises:
            InstallationError: it failed.
        """
        process = await asyncio.create_subprocess_exec(
            _O, "up", env=self.environment, stdout=output, stderr=subprocess.STDOUT
        )
        if await process.wait():
            raise InstallationError(f"`o up` ended with {process.returncode}; see {output.name}")

    async def down(self) -> None:
        """Run `o down`."""
        await self._output("down")

    async def child_pid(self, name: str) -> int:
        """Process id of a child of the supervisor.

        Raises:
            InstallationError: there is no such child, or it is not running.
        """
        status = json.loads(await self._output("status", "--json"))
        for child in status["supervisor"]["children"]:
            if child["name"] == name and child["pid"]:
                return int(child["pid"])
        raise InstallationError(f"no running child {name!r} in {status['supervisor']!r}")

    def operator(self) -> httpx.AsyncClient:
        """A client of the operator API with the first operator's key, through Envoy."""
        token = (self.home / "keys" / "operator.token").read_text().strip()
        return httpx.AsyncClient(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {token}"},
            transport=httpx.AsyncHTTPTransport(retries=5),
            timeout=10.0,
        )

    async def _output(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            _O,
            *arguments,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode:
            raise InstallationError(f"`o {' '.join(arguments)}` failed: {err.decode()[-2000:]}")
        return out.decode()


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A short folder that the platform's own users may pass through, removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="o-demo-", dir="/tmp"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def answer(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    """The JSON answer to a request, asked again while the control plane comes back (40 s).

    Only what is safe to repeat may be sent: reads, and starting a cycle (a second one is refused).
    """
    async with asyncio.timeout(40):
        while True:
            try:
                response = await client.request(method, path, **options)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if response.status_code not in {502, 503, 504}:
                response.raise_for_status()
                return response.json()
            await asyncio.sleep(0.1)
