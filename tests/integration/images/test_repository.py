"""Variants and lineages in a real database."""

from __future__ import annotations

import pytest

from o_platform.db.engine import Database
from o_platform.errors import BadInputError, ConflictError, NotFoundError
from o_platform.images import repository as repo
from o_platform.images.genome import Genome

pytestmark = pytest.mark.integration


def genome_with(text: bytes) -> Genome:
    params = b"[params.x]\nvalue = 1\nmin = 0\nmax = 2\n"
    return Genome.from_files({"genome.toml": params, "prompts/system.md": text})


async def test_a_variant_is_stored_once_and_found(database: Database) -> None:
    genome = genome_with(b"a")
    async with database.unit_of_work() as session:
        assert await repo.save_variant(session, genome, "operator")
        assert not await repo.save_variant(session, genome, "machine")
    async with database.unit_of_work() as session:
        assert await repo.fetch_genome(session, genome.digest) == genome
        assert await repo.fetch_origin(session, genome.digest) == "operator"
        assert await repo.resolve(session, genome.digest[:4]) == genome.digest
        (view,) = await repo.list_variants(session)
        assert (view.digest, view.params, view.status) == (genome.digest, {"x": 1}, None)


async def test_what_does_not_name_a_variant(database: Database) -> None:
    async with database.unit_of_work() as session:
        for bad in ("", "abc", "ABCD", "zzzz", "%%%%"):
            with pytest.raises(BadInputError):
                await repo.resolve(session, bad)
        with pytest.raises(NotFoundError):
            await repo.resolve(session, "abcd")
        with pytest.raises(NotFoundError):
            await repo.fetch_genome(session, "abcd")


async def test_a_short_prefix_may_name_several(database: Database) -> None:
    seen: dict[str, Genome] = {}
    number = 0
    while True:
        genome = genome_with(str(number).encode())
        if other := seen.get(genome.digest[:4]):
            break
        seen[genome.digest[:4]] = genome
        number += 1
    async with database.unit_of_work() as session:
        await repo.save_variant(session, genome, "operator")
        await repo.save_variant(session, other, "operator")
        with pytest.raises(ConflictError, match="give more digits"):
            await repo.resolve(session, genome.digest[:4])


async def test_a_lineage_has_one_stable_variant(database: Database) -> None:
    first, second = genome_with(b"1"), genome_with(b"2")
    async with database.unit_of_work() as session:
        assert await repo.create_lineage(session, "default", first, "seed")
        assert not await repo.create_lineage(session, "default", second, "seed")
        assert await repo.create_lineage(session, "other", first, "seed")
        await repo.save_variant(session, second, "machine")
        await repo.set_status(session, "default", second.digest, "candidate")
        assert await repo.fetch_stable(session, "default") == first.digest
        await repo.set_status(session, "default", second.digest, "stable")
    async with database.unit_of_work() as session:
        assert await repo.fetch_stable(session, "default") == second.digest
        assert await repo.fetch_stable(session, "other") == first.digest
        listed = await repo.list_variants(session, "default")
        assert {v.digest: v.status for v in listed} == {
            first.digest: "retired",
            second.digest: "stable",
        }
        assert await repo.fetch_status(session, "other", second.digest) is None
        keys = {line.name: line.key for line in await repo.list_lineages(session)}
        assert keys == {"default": 1, "other": 2}


async def test_a_lineage_that_cannot_be(database: Database) -> None:
    genome = genome_with(b"1")
    async with database.unit_of_work() as session:
        with pytest.raises(BadInputError):
            await repo.create_lineage(session, "No Name", genome, "seed")
        with pytest.raises(NotFoundError):
            await repo.set_status(session, "nowhere", genome.digest, "candidate")
        with pytest.raises(NotFoundError):
            await repo.fetch_stable(session, "nowhere")
