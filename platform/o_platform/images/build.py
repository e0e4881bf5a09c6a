"""A variant's image: the base and one layer with the genome under `/genome`.

The same genome on the same base gives the same image, byte for byte. Its only label is the
genome's digest.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from o_platform.images.archive import Layer
from o_platform.images.base import BaseImage, BaseImages, load_on_top
from o_platform.images.engine import EngineClient, ImageInfo
from o_platform.images.genome import Genome
from o_platform.images.tarball import Entry, parents, tar_bytes
from o_platform.settings import Settings

LABEL: Final = "project-o.genome"
REPOSITORY: Final = "project-o/variant"
GENOME_FOLDER: Final = "genome"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that is in the engine. `build_s` counts seconds, without making the base."""

    image_id: str
    base_id: str
    build_s: float
    reused: bool


class ImageBuilder:
    """Builds images of genomes."""

    def __init__(
        self, engine: EngineClient, settings: Settings, bases: BaseImages | None = None
    ) -> None:
        """`bases`: where the base comes from; None: as the settings say."""
        self._engine = engine
        self._bases = bases or BaseImages(engine, settings)
        self._building = asyncio.Lock()

    async def build(self, genome: Genome) -> BuiltImage:
        """The image of a genome, which is in the engine when this returns.

        Raises:
            BuildError: the base image cannot be used.
            SetupError: the base image cannot be made on this machine.
            EngineUnavailableError: no engine answers.
            EngineRefusedError: the engine does not take the image.
        """
        base = await self._bases.ensure()
        async with self._building:
            started = time.perf_counter()
            tag = image_tag(genome, base)
            image = await self._engine.image(tag)
            reused = image is not None and image.labels.get(LABEL) == genome.digest
            if image is None or not reused:
                image = await self._make(genome, base, tag)
        return BuiltImage(image.id, base.image.id, time.perf_counter() - started, reused)

    async def _make(self, genome: Genome, base: BaseImage, tag: str) -> ImageInfo:
        return await load_on_top(
            self._engine,
            base.image,
            genome_layer(genome),
            image_config(genome, base),
            base.image.architecture,
            tag,
        )


def image_tag(genome: Genome, base: BaseImage) -> str:
    """Name of a genome's image on a base."""
    return f"{REPOSITORY}:{genome.digest[:16]}-{base.tag.rpartition(':')[2]}"


def image_config(genome: Genome, base: BaseImage) -> dict[str, Any]:
    """What containers of a genome's image start with."""
    return {
        "Env": list(base.image.env),
        "User": base.image.user,
        "WorkingDir": "/",
        "Entrypoint": list(base.image.entrypoint),
        "Cmd": list(base.image.command),
        "Labels": {LABEL: genome.digest},
    }


def genome_layer(genome: Genome) -> Layer:
    """The layer that puts a genome into an image."""
    files = [Entry(f"{GENOME_FOLDER}/{path}", content=data) for path, data in genome.files.items()]
    folders = parents(entry.path for entry in files)
    return Layer.of(tar_bytes([*files, *folders]))
