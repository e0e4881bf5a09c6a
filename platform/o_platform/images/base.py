"""The base of every variant's image.

Made from the very interpreter that runs the platform, so it needs no registry: the executable, the
standard library without what an agent never imports, the shared libraries, the agent's wheels and
packages, and no shell. Or, with `O_BASE_IMAGE`, that image and one layer of wheels and packages on
top. Its tag carries a digest of the *sources*, so it is made once and found again.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from o_platform.errors import BuildError, NotFoundError, OError, SetupError
from o_platform.images.archive import Layer, exported_layers, image_archive
from o_platform.images.engine import EngineClient, ImageInfo
from o_platform.images.interpreter import DESCRIBE, Interpreter, describe, interpreter_entries
from o_platform.images.memo import FileMemo
from o_platform.images.packages import package_entries, with_bytecode
from o_platform.images.tarball import Entry, folder, parents, write_tar
from o_platform.settings import Settings

log = logging.getLogger(__name__)

INSTANCE_UID: Final = 10001
"""User and group an instance runs as."""
REPOSITORY: Final = "project-o/base"
_RECIPE: Final = b"1"
"""Changes when the same sources must give another image."""
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A base that is in the engine."""

    tag: str
    image: ImageInfo

    @property
    def python(self) -> str:
        """Path of the interpreter inside it."""
        return self.image.entrypoint[0]


class BaseImages:
    """Finds the base image, or makes it."""

    def __init__(
        self, engine: EngineClient, settings: Settings, executable: str | None = None
    ) -> None:
        """`executable`: the interpreter to make it from; None: the one that runs this."""
        self._engine = engine
        self._given = settings.base_image
        self._cache = settings.home / "cache"
        self._executable = executable or str(getattr(sys, "_base_executable", sys.executable))
        self._making = asyncio.Lock()
        self._recipe: _Recipe | None = None

    async def ensure(self) -> BaseImage:
        """The base image, which is in the engine when this returns.

        Raises:
            SetupError: this machine lacks something; says what.
            BuildError: `O_BASE_IMAGE` cannot be used; says why.
            EngineUnavailableError: no engine answers.
        """
        async with self._making:
            recipe = await self._current_recipe()
            found = await self._engine.image(recipe.tag)
            try:
                base = BaseImage(recipe.tag, found or await self._make(recipe))
            except OSError as error:
                raise SetupError(
                    f"the base image could not be made in {self._cache} ({error.strerror}); "
                    "make room there, or choose another folder with O_HOME"
                ) from error
            if recipe.memo is not None:
                await asyncio.to_thread(recipe.memo.save)
            return base

    async def _current_recipe(self) -> _Recipe:
        if self._recipe is None:
            if self._given is None:
                memo = self._cache / "base-image.json"
                self._recipe = await asyncio.to_thread(_own_recipe, self._executable, memo)
            else:
                self._recipe = await self._given_recipe(self._given)
        return self._recipe

    async def _make(self, recipe: _Recipe) -> ImageInfo:
        started = time.perf_counter()
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._cache, suffix=".tar") as file:
            layer = await asyncio.to_thread(_pack, recipe.entries, Path(file.name))
            image = await load_on_top(
                self._engine, recipe.below, layer, recipe.config, recipe.architecture, recipe.tag
            )
        log.info(
            "base image made",
            extra={
                "tag": recipe.tag,
                "megabytes": round(image.size_bytes / 1e6),
                "seconds": round(time.perf_counter() - started, 2),
            },
        )
        return image

    async def _given_recipe(self, reference: str) -> _Recipe:
        below = await self._fetch(reference)
        try:
            printed = await self._engine.run_once(reference, ["python3", "-c", DESCRIBE])
            inside = Interpreter.parse(printed)
        except (OError, ValueError) as error:
            raise BuildError(f"O_BASE_IMAGE={reference} has no usable python3: {error}") from error
        outside = await asyncio.to_thread(describe, self._executable)
        if inside.flavour != outside.flavour:
            raise BuildError(
                f"O_BASE_IMAGE={reference} is {inside.flavour}, but the platform's wheels are for "
                f"{outside.flavour}; choose an image of Python {outside.version}, or leave it unset"
            )
        return await asyncio.to_thread(_given_image_recipe, below, inside)

    async def _fetch(self, reference: str) -> ImageInfo:
        if found := await self._engine.image(reference):
            return found
        try:
            await self._engine.pull(reference)
        except OError as error:
            raise BuildError(
                f"O_BASE_IMAGE={reference} is neither here nor can it be pulled: {error.message}"
            ) from error
        if found := await self._engine.image(reference):
            return found
        raise NotFoundError(f"the engine pulled {reference} but does not show it")


async def load_on_top(
    engine: EngineClient,
    below: ImageInfo | None,
    layer: Layer,
    config: dict[str, Any],
    architecture: str,
    tag: str,
) -> ImageInfo:
    """Load the image of one more layer on top of an image that is in the engine.

    Only the new layer is sent. An engine that does not take such an archive (one that keeps its
    images in containerd) is sent the layers below too, which it exports first.

    Raises:
        EngineRefusedError: the engine takes neither.
    """
    known = [Layer(digest) for digest in below.layers] if below else []
    try:
        await engine.load(image_archive([*known, layer], config, architecture, tag))
    except OError:
        if below is None:
            raise
        await load_whole(engine, below, layer, config, tag)
    image = await engine.image(tag)
    if image is None:
        raise NotFoundError(f"the engine loaded {tag} but does not show it")
    return image


async def load_whole(
    engine: EngineClient, below: ImageInfo, layer: Layer, config: dict[str, Any], tag: str
) -> None:
    """Load the image of one more layer on top of `below`, with every layer in the archive."""
    with tempfile.TemporaryDirectory() as unpacked:
        exported = Path(unpacked) / "image.tar"
        with exported.open("wb") as file:
            await engine.exported(below.id, file)
        layers = await asyncio.to_thread(exported_layers, exported, Path(unpacked), below.layers)
        await engine.load(image_archive([*layers, layer], config, below.architecture, tag))


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What a base is made of, and the tag that follows from it."""

    tag: str
    entries: Sequence[Entry]
    below: ImageInfo | None
    config: dict[str, Any]
    architecture: str
    memo: FileMemo | None = None
    """What is worth keeping once the base is there."""


@functools.cache
def _own_recipe(executable: str, kept: Path) -> _Recipe:
    memo = FileMemo(kept)
    interpreter = describe(executable)
    if interpreter.machine not in _ARCHITECTURES:
        raise SetupError(f"no base image can be made on {interpreter.machine}; set O_BASE_IMAGE")
    packages = package_entries(interpreter.site.removeprefix("/"))
    binaries = [e.content for e in packages if isinstance(e.content, Path) and ".so" in e.path]
    entries = [*packages, *interpreter_entries(interpreter, binaries, memo)]
    entries += [*_skeleton(), *_users()]
    return _Recipe(
        tag=f"{REPOSITORY}:{_digest(entries, interpreter.magic, memo=memo)}",
        entries=entries,
        below=None,
        config=_config(interpreter.image_path, ["PATH=/usr/local/bin"]),
        architecture=_ARCHITECTURES[interpreter.machine],
        memo=memo,
    )


def _given_image_recipe(below: ImageInfo, inside: Interpreter) -> _Recipe:
    entries = [*package_entries(inside.own_site.removeprefix("/")), *_skeleton()]
    return _Recipe(
        tag=f"{REPOSITORY}:{_digest(entries, below.id)}",
        entries=entries,
        below=below,
        config=_config(str(inside.executable), list(below.env)),
        architecture=below.architecture,
    )


def _config(python: str, env: list[str]) -> dict[str, Any]:
    return {
        "Env": env,
        "User": f"{INSTANCE_UID}:{INSTANCE_UID}",
        "WorkingDir": "/",
        "Entrypoint": [python],
        "Cmd": ["-m", "o_agent"],
    }


def _skeleton() -> list[Entry]:
    mounted = [folder(path) for path in ("genome", "run", "run/o", "run/o/in", "run/o/out")]
    return [*mounted, folder("tmp", 0o1777)]


def _users() -> list[Entry]:
    passwd = f"root:x:0:0::/:/none\no:x:{INSTANCE_UID}:{INSTANCE_UID}::/tmp:/none\n"
    group = f"root:x:0:\no:x:{INSTANCE_UID}:\n"
    kernel = [folder(path) for path in ("dev", "proc", "sys")]
    return [
        *kernel,
        Entry("etc/passwd", content=passwd.encode()),
        Entry("etc/group", content=group.encode()),
    ]


def _digest(entries: Iterable[Entry], *further: str, memo: FileMemo | None = None) -> str:
    total = hashlib.sha256(_RECIPE + "\0".join(further).encode())
    for entry in sorted(entries, key=lambda each: each.path):
        if memo is not None and isinstance(entry.content, Path):
            content = memo.digest(entry.content)
        else:
            content = hashlib.sha256(entry.read()).hexdigest()
        total.update(f"{entry.path}\0{entry.kind}\0{entry.mode:o}\0{content}\n".encode())
    return total.hexdigest()[:12]


def _pack(entries: Sequence[Entry], target: Path) -> Layer:
    complete = list(with_bytecode(entries))
    folders = {entry.path for entry in complete if entry.kind != "file"}
    complete += [e for e in parents(entry.path for entry in complete) if e.path not in folders]
    with target.open("wb") as file:
        write_tar(complete, file)
    return Layer.of_file(target)
