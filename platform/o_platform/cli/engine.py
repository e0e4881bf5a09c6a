"""Finds a container engine, and on Debian installs and starts one.

`python -m o_platform.cli.engine` (used by `make test`) prints the parts that tests may rely on.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from o_platform.cli.configuration import load_settings
from o_platform.cli.terminal import warn
from o_platform.errors import EngineUnavailableError, OError, SetupError
from o_platform.images.engine import EngineClient
from o_platform.settings import Settings

_PACKAGE: Final = "docker.io"
_START_S: Final = 60.0
_NO_ENGINE: Final = (
    "NO CONTAINER ENGINE: instances run as plain processes, which isolates NOTHING. Good for "
    "development only; genomes that a model proposed are refused. Install Docker, then `o down`, "
    "`o up`."
)


def engine_info() -> dict[str, Any] | None:
    """What the container engine says about itself; None: none answers."""

    async def ask() -> dict[str, Any]:
        client = EngineClient()
        try:
            return await client.info()
        finally:
            await client.close()

    try:
        return asyncio.run(ask())
    except EngineUnavailableError:
        return None


def settle_runtime(settings: Settings) -> tuple[str, str]:
    """Decide where instances run, after doing what can be done to have an engine.

    Returns:
        `docker` or `process`, and a few words about it.

    Raises:
        SetupError: `O_RUNTIME=docker`, but there is no engine and none can be installed.
    """
    if settings.runtime == "process":
        warn(_NO_ENGINE.replace("NO CONTAINER ENGINE", "O_RUNTIME=process"))
        return "process", "plain processes, as O_RUNTIME says"
    info = engine_info()
    if info is not None:
        return "docker", f"{info['ServerVersion']}, found"
    return _without_answer(settings)


def _without_answer(settings: Settings) -> tuple[str, str]:
    try:
        how = provide_engine(settings.home / "log")
    except SetupError as error:
        if settings.runtime == "docker":
            raise
        warn(error.message)
        warn(_NO_ENGINE)
        return "process", "plain processes: no engine"
    return "docker", how


def provide_engine(log_folder: Path) -> str:
    """Install (root on Debian) and start an engine; a few words about what was done.

    Raises:
        SetupError: it is not possible here; says why and what to do.
    """
    if "DOCKER_HOST" in os.environ:
        raise SetupError(f"no engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}")
    if os.geteuid() != 0:
        raise SetupError(
            "no container engine answers; start Docker and let this user reach it, or run as root"
        )
    installed = shutil.which("dockerd") is None
    if installed:
        _install()
    _start(log_folder)
    return f"{'installed and ' if installed else ''}started"


def _install() -> None:
    apt = shutil.which("apt-get")
    if apt is None:
        raise SetupError("no container engine is installed; install Docker with your package tool")
    sys.stderr.write(f"installing {_PACKAGE} with apt-get\n")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = [apt, "install", "-y", "-qq", "--no-install-recommends", _PACKAGE]
    if not Path("/var/lib/apt/lists").glob("*Packages*"):
        _run([apt, "update", "-qq"], environ)
    try:
        _run(install, environ)
    except SetupError:
        _run([apt, "update", "-qq"], environ)
        _run(install, environ)


def _start(log_folder: Path) -> None:
    if Path("/run/systemd/system").is_dir():
        _run(["systemctl", "enable", "--now", "docker"], dict(os.environ))
        process, log = None, Path("the journal (`journalctl -u docker`)")
    else:
        log_folder.mkdir(parents=True, exist_ok=True)
        log = log_folder / "dockerd.log"
        process = _start_detached(log)
    deadline = time.monotonic() + _START_S
    while engine_info() is None:
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise SetupError(f"dockerd was started but does not answer; see {log}{_tail(log)}")
        time.sleep(0.1)


def _start_detached(log: Path) -> subprocess.Popen[bytes]:
    sys.stderr.write(f"starting dockerd (it stays when the platform stops; log: {log})\n")
    with log.open("ab") as output:
        return subprocess.Popen(
            ["/usr/bin/env", "dockerd"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
        )  # fmt: skip


def _tail(log: Path) -> str:
    if not log.is_file():
        return ""
    lines = log.read_text(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _run(command: list[str], environ: dict[str, str]) -> None:
    result = subprocess.run(  # noqa: S603
        command, env=environ, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        problem = (result.stderr or result.stdout).strip()[-500:]
        raise SetupError(f"`{' '.join(command)}` failed: {problem}")


def main() -> int:
    """Print what tests may rely on, after providing an engine if that is possible."""
    parts = ["postgres", "envoy"]
    try:
        if engine_info() is None:
            provide_engine(load_settings().home / "log")
        parts.append("docker")
    except OError as error:
        warn(f"tests that need a container engine are skipped: {error.message}")
    sys.stdout.write(",".join(parts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
