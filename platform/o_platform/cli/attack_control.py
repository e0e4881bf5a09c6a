"""The control run of the attack suite: a throw-away container in which nothing is confined.

The container is made from the base image of variants, has no network but its own loopback, no
capabilities, bounded memory and processes, and gets the sandbox package and a shell (payloads that
start one must find one) as files. It is removed when the run has ended.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import o_sandbox
from o_platform.images.base import BaseImages
from o_platform.images.engine import EngineClient, ThrowAway
from o_platform.settings import Settings
from o_sandbox.attacks.control import ALLOWED, Control

_FOLDER: Final = "suite"
_MEMORY_BYTES: Final = 3 * 1024**3
_PIDS: Final = 200
_TIMEOUT_S: Final = 600.0
_GUEST_PACKAGES: Final = ("jinja2", "markupsafe", "yaml")
"""What the tier `wasm` offers its guests beside the standard library."""
_SHELL: Final = Path("/bin/sh")


async def run_control(
    settings: Settings, wanted: list[str], on_result: Callable[[Control], None]
) -> list[Control]:
    """Run payloads of Python unconfined; `wanted`: ids or families, empty for all.

    Raises:
        EngineUnavailableError: no container engine answers.
        EngineRefusedError: the container could not run to its end.
    """
    results: list[Control] = []

    def take(line: str) -> None:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            results.append(Control.parse(line))
            on_result(results[-1])

    engine = EngineClient()
    try:
        base = await BaseImages(engine, settings).ensure()
        files = _files(with_shell=settings.base_image is None)
        environment = {"PYTHONPATH": f"/{_FOLDER}", ALLOWED: "throw-away"}
        job = ThrowAway(files, environment, _MEMORY_BYTES, _PIDS, _TIMEOUT_S)
        command = [base.python, "-m", "o_sandbox.attacks.control", *wanted]
        await engine.run_throw_away(base.tag, command, job, take)
    finally:
        await engine.close()
    return results


def _files(*, with_shell: bool) -> bytes:
    buffer = io.BytesIO()
    package = Path(o_sandbox.__file__).parent
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for each in (package, *_guest_packages()):
            archive.add(each, f"{_FOLDER}/{each.name}", filter=_no_bytecode)
        if with_shell and _SHELL.exists():
            # The same C library is in an image that was made of this machine's interpreter.
            archive.add(_SHELL.resolve(), "bin/sh")
    return buffer.getvalue()


def _guest_packages() -> Iterator[Path]:
    for name in _GUEST_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent


def _no_bytecode(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member
