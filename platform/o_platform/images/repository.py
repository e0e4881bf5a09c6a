"""Variants, their place in lineages, and the images made of them: all queries on those tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import BENCH_LINEAGE_KEY, DEFAULT_LINEAGE_KEY
from o_platform.db.engine import CHANNEL_ROUTES, announce
from o_platform.db.models import Image, Lineage, LineageVariant, Variant
from o_platform.errors import BadInputError, ConflictError, NotFoundError
from o_platform.images.genome import Genome

Origin = Literal["seed", "operator", "machine"]
"""Who made a variant: the installation, an operator, or a model."""
Status = Literal["candidate", "stable", "retired", "rejected"]
"""A variant's place in a lineage."""

DEFAULT_LINEAGE: Final = "default"
_PREFIX: Final = re.compile(r"[0-9a-f]{4,64}")
_LINEAGE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class VariantView:
    """A variant as it is listed; `status` is set when it was listed for a lineage."""

    digest: str
    origin: str
    size_bytes: int
    params: dict[str, object]
    created_at: datetime
    status: str | None = None


async def save_variant(session: AsyncSession, genome: Genome, origin: Origin) -> bool:
    """Store a genome as a variant, once.

    Returns:
        Whether it is new. Of a known one nothing changes, its origin included.
    """
    row = {
        "digest": genome.digest,
        "genome": genome.tar,
        "params": genome.param_values(),
        "origin": origin,
        "size_bytes": sum(map(len, genome.files.values())),
    }
    statement = insert(Variant).values(row).on_conflict_do_nothing().returning(Variant.digest)
    return await session.scalar(statement) is not None


async def fetch_genome(session: AsyncSession, digest: str) -> Genome:
    """The genome of a variant, by its full digest.

    Raises:
        NotFoundError: there is no such variant.
    """
    data = await session.scalar(select(Variant.genome).where(Variant.digest == digest))
    if data is None:
        raise _unknown_variant(digest)
    return Genome.from_tar(data)


async def fetch_origin(session: AsyncSession, digest: str) -> str:
    """Who made a variant: `seed`, `operator` or `machine`.

    Raises:
        NotFoundError: there is no such variant.
    """
    origin = await session.scalar(select(Variant.origin).where(Variant.digest == digest))
    if origin is None:
        raise _unknown_variant(digest)
    return origin


async def resolve(session: AsyncSession, prefix: str) -> str:
    """The full digest of the only variant that starts with `prefix` (4 or more hex digits).

    Raises:
        BadInputError: not a prefix of a digest.
        NotFoundError: no variant starts with it.
        ConflictError: several do.
    """
    if not _PREFIX.fullmatch(prefix):
        raise BadInputError(
            f"{prefix!r} does not name a variant; give 4 to 64 hex digits of its digest",
            field="variant",
        )
    statement = select(Variant.digest).where(Variant.digest.startswith(prefix)).limit(2)
    found = (await session.scalars(statement)).all()
    if not found:
        raise _unknown_variant(prefix)
    if len(found) > 1:
        raise ConflictError(f"several variants start with {prefix}; give more digits")
    return found[0]


async def list_variants(
    session: AsyncSession, lineage: str | None = None, limit: int = 100
) -> list[VariantView]:
    """Variants, newest first: those of a lineage with their status in it, or all."""
    place = (LineageVariant.digest == Variant.digest) & (LineageVariant.lineage == lineage)
    statement = select(Variant, LineageVariant.status).join(
        LineageVariant, place, isouter=lineage is None
    )
    ordered = statement.order_by(Variant.created_at.desc(), Variant.digest).limit(limit)
    return [_view(variant, status) for variant, status in (await session.execute(ordered)).all()]


async def set_status(session: AsyncSession, lineage: str, digest: str, status: Status) -> None:
    """Give a variant its place in a lineage.

    Making one `stable` retires the one that was, points the lineage at it and announces its routes.

    Raises:
        NotFoundError: unknown lineage or variant.
    """
    await _require(session, lineage, digest)
    if status == "stable":
        await _retire_stable(session, lineage, digest)
    place = insert(LineageVariant).values(lineage=lineage, digest=digest, status=status)
    await session.execute(
        place.on_conflict_do_update(
            index_elements=["lineage", "digest"],
            set_={"status": status, "updated_at": func.now()},
        )
    )


async def fetch_status(session: AsyncSession, lineage: str, digest: str) -> str | None:
    """A variant's status in a lineage; None when it has no place in it."""
    return await session.scalar(
        select(LineageVariant.status).where(
            LineageVariant.lineage == lineage, LineageVariant.digest == digest
        )
    )


async def create_lineage(session: AsyncSession, name: str, genome: Genome, origin: Origin) -> bool:
    """Create a lineage whose stable variant is `genome`, unless it is there.

    Returns:
        Whether it is new. Of a known one nothing changes.

    Raises:
        BadInputError: a name that is not lower-case letters, digits and dashes.
    """
    if not _LINEAGE_NAME.fullmatch(name):
        raise BadInputError(
            f"{name!r} cannot name a lineage; use lower-case letters, digits and `-`",
            field="lineage",
        )
    row = insert(Lineage).values(name=name, key=await _next_key(session, name))
    created = await session.scalar(row.on_conflict_do_nothing().returning(Lineage.name))
    if created is None:
        return False
    await save_variant(session, genome, origin)
    await set_status(session, name, genome.digest, "stable")
    return True


async def fetch_stable(session: AsyncSession, lineage: str) -> str:
    """Digest of the stable variant of a lineage.

    Raises:
        NotFoundError: unknown lineage, or one without a stable variant.
    """
    digest = await session.scalar(select(Lineage.stable_variant).where(Lineage.name == lineage))
    if digest is None:
        raise NotFoundError(f"no lineage {lineage!r} with a stable variant; see `o status`")
    return digest


async def list_lineages(session: AsyncSession) -> Sequence[Lineage]:
    """Every lineage, in order of its key."""
    return (await session.scalars(select(Lineage).order_by(Lineage.key))).all()


async def save_image(
    session: AsyncSession, variant: str, base_id: str, image_id: str, build_s: float
) -> None:
    """Remember the image of a variant on a base."""
    row = insert(Image).values(variant=variant, base_id=base_id, image_id=image_id, build_s=build_s)
    await session.execute(
        row.on_conflict_do_update(
            index_elements=["variant", "base_id"], set_={"image_id": image_id, "build_s": build_s}
        )
    )


async def _retire_stable(session: AsyncSession, lineage: str, digest: str) -> None:
    await session.execute(
        update(LineageVariant)
        .where(
            LineageVariant.lineage == lineage,
            LineageVariant.status == "stable",
            LineageVariant.digest != digest,
        )
        .values(status="retired", updated_at=func.now())
    )
    await session.execute(
        update(Lineage).where(Lineage.name == lineage).values(stable_variant=digest)
    )
    await announce(session, CHANNEL_ROUTES, lineage)


async def _require(session: AsyncSession, lineage: str, digest: str) -> None:
    if await session.scalar(select(Lineage.name).where(Lineage.name == lineage)) is None:
        raise NotFoundError(f"no lineage {lineage!r}; see `o status`")
    if await session.scalar(select(Variant.digest).where(Variant.digest == digest)) is None:
        raise _unknown_variant(digest)


async def _next_key(session: AsyncSession, name: str) -> int:
    if name == DEFAULT_LINEAGE:
        return DEFAULT_LINEAGE_KEY
    highest = await session.scalar(
        select(func.max(Lineage.key)).where(Lineage.key < BENCH_LINEAGE_KEY)
    )
    return max(highest or 0, DEFAULT_LINEAGE_KEY) + 1


def _unknown_variant(digest: str) -> NotFoundError:
    return NotFoundError(f"no variant {digest[:12]}; see `o variant list`", variant=digest)


def _view(variant: Variant, status: str | None) -> VariantView:
    return VariantView(
        digest=variant.digest,
        origin=variant.origin,
        size_bytes=variant.size_bytes,
        params=variant.params,
        created_at=variant.created_at,
        status=status,
    )
