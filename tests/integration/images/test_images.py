"""Images, made in the real engine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from o_platform.errors import BuildError, EngineUnavailableError
from o_platform.images.archive import image_archive
from o_platform.images.base import BaseImage, BaseImages, load_whole
from o_platform.images.build import LABEL, ImageBuilder, genome_layer, image_config, image_tag
from o_platform.images.engine import EngineClient
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.images.packages import package_entries
from o_platform.settings import Settings
from o_platform.testing import require
from o_sandbox.cache import PACKED

pytestmark = pytest.mark.integration

LOOK = """
import ctypes, hashlib, json, os, sqlite3, ssl, sys, zoneinfo
import httptools, msgspec, uvicorn, uvloop
import o_agent, o_contracts, o_sandbox
print(json.dumps({
    "uid": os.getuid(),
    "python": list(sys.version_info[:2]),
    "genome": sorted(os.listdir("/genome")),
    "shells": [p for p in ("/bin/sh", "/usr/bin/sh", "/usr/bin/env") if os.path.exists(p)],
    "platform": [p for p in sys.path if os.path.exists(p + "/o_platform")],
    "cached": bool(uvicorn.__cached__ and os.path.exists(uvicorn.__cached__)),
}))
"""

_DISTRIBUTIONS = Path(f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}")
OTHER_INTERPRETERS = [str(_DISTRIBUTIONS)] if os.access(_DISTRIBUTIONS, os.X_OK) else []
"""The distribution's, where it is of this version."""


@pytest.fixture
async def engine() -> AsyncIterator[EngineClient]:
    require("docker")
    engine = EngineClient()
    yield engine
    await engine.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
async def made(engine: EngineClient) -> AsyncIterator[list[str]]:
    """Images the test made, removed at its end."""
    references: list[str] = []
    yield references
    for reference in references:
        if await engine.image(reference):
            await engine.call(lambda api, it=reference: api.remove_image(it, force=True))


def genome_with(text: bytes) -> Genome:
    return Genome.from_files({**Genome.from_dir(seed_genome_dir()).files, "prompts/test.md": text})


def engine_bytes() -> int:
    """What the sandbox's engine takes in a base: wasmtime and what it runs."""
    parts = ("site/wasmtime/", "site/o_sandbox/_built/", f"site/o_sandbox/{PACKED.name}")
    return sum(len(e.read()) for e in package_entries("site") if e.path.startswith(parts))


async def look(engine: EngineClient, base: BaseImage, image: str) -> dict[str, object]:
    seen: dict[str, object] = json.loads(await engine.run_once(image, [base.python, "-c", LOOK]))
    return seen


@pytest.mark.parametrize("executable", [None, *OTHER_INTERPRETERS])
async def test_a_base_is_made_of_an_interpreter(
    engine: EngineClient, settings: Settings, made: list[str], executable: str | None
) -> None:
    bases = BaseImages(engine, settings, executable)
    base = await bases.ensure()
    assert await bases.ensure() == base
    assert base.image.size_bytes - engine_bytes() < 130e6
    assert base.image.labels == {}
    built = await ImageBuilder(engine, settings, bases).build(genome_with(b"base"))
    made.append(built.image_id)
    assert await look(engine, base, built.image_id) == {
        "uid": 10001,
        "python": list(sys.version_info[:2]),
        "genome": ["blocks", "genome.toml", "loop", "prompts", "tests", "tools"],
        "shells": [],
        "platform": [],
        "cached": True,
    }


async def test_the_same_genome_gives_the_same_image(
    engine: EngineClient, settings: Settings, made: list[str]
) -> None:
    builder = ImageBuilder(engine, settings)
    first = await builder.build(genome_with(b"same"))
    made.append(first.image_id)
    again = await builder.build(genome_with(b"same"))
    assert (again.image_id, again.reused) == (first.image_id, True)
    assert again.build_s < 0.2
    await engine.call(lambda api: api.remove_image(first.image_id, force=True))
    rebuilt = await ImageBuilder(engine, settings).build(genome_with(b"same"))
    assert (rebuilt.image_id, rebuilt.reused) == (first.image_id, False)
    info = await engine.image(first.image_id)
    assert info is not None
    assert info.labels == {LABEL: genome_with(b"same").digest}


async def test_an_engine_that_wants_every_layer_gets_the_same_image(
    engine: EngineClient, settings: Settings, made: list[str]
) -> None:
    genome = genome_with(b"whole")
    base = await BaseImages(engine, settings).ensure()
    tag = image_tag(genome, base)
    made.append(tag)
    layer, config = genome_layer(genome), image_config(genome, base)
    await load_whole(engine, base.image, layer, config, tag)
    whole = await engine.image(tag)
    built = await ImageBuilder(engine, settings).build(genome)
    assert whole is not None
    assert (built.image_id, built.reused) == (whole.id, True)


async def test_a_given_base_image_gets_the_agents_packages(
    engine: EngineClient, settings: Settings, made: list[str]
) -> None:
    own = await BaseImages(engine, settings).ensure()
    tag = "project-o/test:given"
    config = {"Entrypoint": [own.python], "Env": ["PATH=/usr/local/bin", "X=1"]}
    layer = genome_layer(genome_with(b"given"))
    await load_whole(engine, own.image, layer, config, tag)
    made.append(tag)
    bases = BaseImages(engine, settings.model_copy(update={"base_image": tag}))
    base = await bases.ensure()
    made.append(base.tag)
    assert base.image.layers[:-1] == (*own.image.layers, layer.digest)
    assert "X=1" in base.image.env
    assert (await look(engine, base, base.image.id))["uid"] == 10001


async def test_a_given_base_image_that_cannot_be_used(
    engine: EngineClient, settings: Settings, made: list[str]
) -> None:
    missing = settings.model_copy(update={"base_image": "127.0.0.1:1/no/such:image"})
    with pytest.raises(BuildError, match="neither here nor can it be pulled"):
        await BaseImages(engine, missing).ensure()
    await engine.load(
        image_archive([genome_layer(genome_with(b"x"))], {}, "amd64", "project-o/test:bare")
    )
    made.append("project-o/test:bare")
    bare = settings.model_copy(update={"base_image": "project-o/test:bare"})
    with pytest.raises(BuildError, match="has no usable python3"):
        await BaseImages(engine, bare).ensure()


async def test_no_engine_is_said_with_a_remedy(settings: Settings) -> None:
    engine = EngineClient("unix:///nowhere/docker.sock")
    with pytest.raises(EngineUnavailableError, match="O_RUNTIME=process"):
        await ImageBuilder(engine, settings).build(genome_with(b""))
