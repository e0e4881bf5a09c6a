"""`/o/v1/variants` and `/o/v1/lineages`."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request

from o_platform.api.deps import DatabaseDep
from o_platform.api.operators.repository import fetch_lineage, fetch_statuses, fetch_variant
from o_platform.api.operators.schemas import (
    LineageCreate,
    LineageState,
    SavedVariant,
    VariantDetail,
    VariantDiff,
    VariantState,
    lineage_state,
    variant_state,
)
from o_platform.errors import BadInputError, ConflictError
from o_platform.images import repository
from o_platform.images.diff import genome_diff
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.images.repository import DEFAULT_LINEAGE, Origin

router = APIRouter(prefix="/o/v1", tags=["operators"])
TAR: str = "application/x-tar"
MAX_LISTED = 1000
_TAR_BODY = {"requestBody": {"required": True, "content": {TAR: {"schema": {"type": "string"}}}}}


@router.post("/variants", openapi_extra=_TAR_BODY)
async def save(
    request: Request,
    database: DatabaseDep,
    lineage: str = DEFAULT_LINEAGE,
    origin: Origin = "operator",
) -> SavedVariant:
    """Store a genome (a tar as the body) as a variant, and as a candidate of a lineage."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != TAR:
        raise BadInputError(f"send the genome as {TAR}, not as {kind or 'nothing'!r}")
    genome = await asyncio.to_thread(Genome.from_tar, await request.body())
    async with database.unit_of_work() as session:
        created = await repository.save_variant(session, genome, origin)
        if await repository.fetch_status(session, lineage, genome.digest) is None:
            await repository.set_status(session, lineage, genome.digest, "candidate")
    return SavedVariant(digest=genome.digest, created=created)


@router.get("/variants")
async def list_all(
    database: DatabaseDep,
    lineage: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
) -> list[VariantState]:
    """List variants, the newest first: of a lineage with their status in it, or all."""
    async with database.unit_of_work() as session:
        if lineage is not None:
            await fetch_lineage(session, lineage)
        views = await repository.list_variants(session, lineage, limit)
    return [variant_state(view) for view in views]


@router.get("/variants/{variant}")
async def retrieve(variant: str, database: DatabaseDep) -> VariantDetail:
    """One variant, by 4 or more hex digits of its digest."""
    async with database.unit_of_work() as session:
        digest = await repository.resolve(session, variant)
        genome = await repository.fetch_genome(session, digest)
        row = await fetch_variant(session, digest)
        lineages = await fetch_statuses(session, digest)
    files = {path: _text(data) for path, data in genome.files.items()}
    return VariantDetail(**variant_state(row).model_dump(), files=files, lineages=lineages)


@router.get("/variants/{a}/diff/{b}")
async def diff(a: str, b: str, database: DatabaseDep) -> VariantDiff:
    """What turns variant `a` into variant `b`."""
    async with database.unit_of_work() as session:
        digests = [await repository.resolve(session, prefix) for prefix in (a, b)]
        before, after = [await repository.fetch_genome(session, digest) for digest in digests]
    return VariantDiff(a=before.digest, b=after.digest, diff=genome_diff(before, after))


@router.post("/lineages")
async def create_lineage(body: LineageCreate, database: DatabaseDep) -> LineageState:
    """Make a lineage; a stable instance of it is started at once."""
    async with database.unit_of_work() as session:
        if body.variant is None:
            genome = await asyncio.to_thread(Genome.from_dir, seed_genome_dir())
        else:
            digest = await repository.resolve(session, body.variant)
            genome = await repository.fetch_genome(session, digest)
        if not await repository.create_lineage(session, body.name, genome, "operator"):
            raise ConflictError(f"there is a lineage {body.name!r} already", lineage=body.name)
        lineage = await fetch_lineage(session, body.name)
        await session.refresh(lineage)
        return lineage_state(lineage)


@router.get("/lineages")
async def list_lineages(database: DatabaseDep) -> list[LineageState]:
    """List every lineage, in the order of their keys."""
    async with database.unit_of_work() as session:
        return [lineage_state(lineage) for lineage in await repository.list_lineages(session)]


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
