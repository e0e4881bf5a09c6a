"""The container engine, by the docker SDK's low-level client.

The SDK blocks, so every call runs in a thread; a connection is opened at the first call, and again
after the engine was away. What the SDK raises becomes one of the platform's errors here.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import docker
import requests
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

from o_platform.errors import (
    ConflictError,
    EngineRefusedError,
    EngineUnavailableError,
    NotFoundError,
    OError,
)

T = TypeVar("T")
Api: TypeAlias = Any
"""The SDK's `APIClient`; its type stubs are partial."""

_TIMEOUT_S = 60
_REMEDY = "start it (`systemctl start docker`), set DOCKER_HOST, or set O_RUNTIME=process"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the engine knows about an image. `layers` are digests of uncompressed layers."""

    id: str
    layers: tuple[str, ...]
    labels: dict[str, str]
    env: tuple[str, ...]
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    size_bytes: int
    architecture: str


@dataclass(frozen=True, slots=True)
class ThrowAway:
    """What a container that runs once is given: files (a tar), environment and bounds.

    It is killed after `timeout_s` seconds.
    """

    files: bytes
    environment: dict[str, str]
    memory_bytes: int
    pids: int
    timeout_s: float


class EngineClient:
    """One connection to a container engine."""

    def __init__(self, base_url: str | None = None) -> None:
        """`base_url` as in DOCKER_HOST, which is used when it is None. Nothing connects yet."""
        self._base_url = base_url
        self._api: Api | None = None
        self._opening = threading.Lock()

    async def call(self, work: Callable[[Api], T]) -> T:
        """Run `work` with the SDK's client in a thread.

        Raises:
            EngineUnavailableError: no engine answers.
            NotFoundError: the engine knows no such image or container.
            ConflictError: the state of the container does not allow it.
            EngineRefusedError: the engine refused for another reason.
        """
        return await asyncio.to_thread(self.call_blocking, work)

    def call_blocking(self, work: Callable[[Api], T]) -> T:
        """Like `call`, for code that is in a thread already."""
        try:
            return work(self._client())
        except (DockerException, requests.RequestException) as error:
            raise as_platform_error(error) from error

    async def info(self) -> dict[str, Any]:
        """What the engine says about itself."""
        return await self.call(lambda api: api.info())

    async def image(self, reference: str) -> ImageInfo | None:
        """The image with this id or tag; None when the engine has none."""
        try:
            return _image_info(await self.call(lambda api: api.inspect_image(reference)))
        except NotFoundError:
            return None

    async def pull(self, reference: str) -> None:
        """Fetch an image from its registry."""
        await self.call(lambda api: api.pull(reference))

    async def load(self, archive: Iterable[bytes]) -> None:
        """Load an image archive, as `docker load` does.

        Raises:
            EngineRefusedError: the engine does not take it.
        """
        await self.call(lambda api: _load(api, archive))

    async def run_once(self, image: str, command: list[str]) -> str:
        """Run `command` in a container without network, and return what it prints.

        Raises:
            EngineRefusedError: it could not start, or ended with another status than 0.
        """
        return await self.call(lambda api: _run_once(api, image, command))

    async def run_throw_away(
        self, image: str, command: list[str], job: ThrowAway, on_line: Callable[[str], None]
    ) -> None:
        """Run `command` in a container that is removed afterwards, without network or rights.

        `on_line` is called, in a thread, with each line that it prints.

        Raises:
            EngineRefusedError: it could not start, or ended with another status than 0.
        """
        await self.call(lambda api: _run_throw_away(api, image, command, job, on_line))

    async def exported(self, reference: str, file: Any) -> None:
        """Write an image with all of its layers to `file`, as `docker save` does."""
        await self.call(lambda api: _export(api, reference, file))

    async def close(self) -> None:
        """Close the connection."""
        if self._api is not None:
            await asyncio.to_thread(self._api.close)
            self._api = None

    def _client(self) -> Api:
        with self._opening:
            where = {"base_url": self._base_url} if self._base_url else kwargs_from_env()
            _check_socket(where.get("base_url") or DEFAULT_UNIX_SOCKET)
            if self._api is None:
                self._api = docker.APIClient(version="auto", timeout=_TIMEOUT_S, **where)
            return self._api


def _check_socket(url: str) -> None:
    """Connect once before the SDK does, which leaves its socket open when nobody answers."""
    scheme, _, path = url.partition("://")
    if scheme in ("unix", "http+unix"):
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect("/" + path.lstrip("/"))
        except OSError as error:
            raise EngineUnavailableError(
                f"no container engine answers at {url} ({error.strerror}); {_REMEDY}"
            ) from error


def as_platform_error(error: Exception) -> OError:
    """What an exception of the SDK means, as one of the platform's errors."""
    if not isinstance(error, APIError):
        return EngineUnavailableError(f"no container engine answers ({error}); {_REMEDY}")
    reason = str(error.explanation or error)
    match error.response.status_code if error.response is not None else None:
        case 404:
            return NotFoundError(f"the container engine does not know it: {reason}")
        case 409:
            return ConflictError(f"the container engine refuses it now: {reason}")
        case _:
            return EngineRefusedError(f"the container engine refused: {reason}")


def _image_info(found: dict[str, Any]) -> ImageInfo:
    config = found.get("Config") or {}
    return ImageInfo(
        id=found["Id"],
        layers=tuple(found["RootFS"].get("Layers") or ()),
        labels=config.get("Labels") or {},
        env=tuple(config.get("Env") or ()),
        user=config.get("User") or "",
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        size_bytes=int(found.get("Size") or 0),
        architecture=found["Architecture"],
    )


def _load(api: Api, archive: Iterable[bytes]) -> None:
    for line in api.load_image(_Pieces(archive), quiet=True):
        if "error" in line:
            raise EngineRefusedError(f"the engine did not load the image: {line['error']}")


class _Pieces:
    """An iterable the SDK streams (it takes what has neither a length nor `read`)."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


def _run_once(api: Api, image: str, command: list[str]) -> str:
    host = api.create_host_config(network_mode="none", cap_drop=["ALL"])
    container = api.create_container(image, command[1:], entrypoint=command[:1], host_config=host)
    try:
        api.start(container)
        status = api.wait(container, timeout=_TIMEOUT_S)["StatusCode"]
        output = bytes(api.logs(container)).decode(errors="replace")
    finally:
        api.remove_container(container, force=True)
    if status != 0:
        raise EngineRefusedError(f"`{command[0]}` ended with {status} in {image}: {output[-500:]}")
    return output


def _run_throw_away(
    api: Api, image: str, command: list[str], job: ThrowAway, on_line: Callable[[str], None]
) -> None:
    host = api.create_host_config(
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit=job.memory_bytes,
        memswap_limit=job.memory_bytes,
        pids_limit=job.pids,
        init=True,
    )
    container = api.create_container(
        image,
        command[1:],
        entrypoint=command[:1],
        environment=job.environment,
        host_config=host,
    )
    watchdog = threading.Timer(job.timeout_s, api.kill, (container,))
    try:
        api.put_archive(container, "/", job.files)
        api.start(container)
        watchdog.start()
        last = _each_line(api.logs(container, stream=True, follow=True), on_line)
        status = api.wait(container, timeout=_TIMEOUT_S)["StatusCode"]
    finally:
        watchdog.cancel()
        api.remove_container(container, force=True)
    if status != 0:
        raise EngineRefusedError(f"`{command[0]}` ended with {status} in {image}: {last}")


def _each_line(pieces: Iterable[bytes], on_line: Callable[[str], None]) -> str:
    """Hand over each whole line; returns the last one."""
    rest, last = b"", ""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            last = line.decode(errors="replace")
            on_line(last)
    return rest.decode(errors="replace") or last


def _export(api: Api, reference: str, file: Any) -> None:
    for piece in api.get_image(reference):
        file.write(piece)
