"""What a new installation starts with: the lineage `default` and the seed genome as its stable."""

from __future__ import annotations

import asyncio

from o_platform.db.engine import Database
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.images.repository import DEFAULT_LINEAGE, create_lineage


async def seed(database: Database) -> None:
    """Make the default lineage unless it is there.

    Raises:
        BuildError: the seed genome is damaged.
        DatabaseUnavailableError: PostgreSQL cannot be reached.
    """
    async with database.unit_of_work() as session:
        genome = await asyncio.to_thread(Genome.from_dir, seed_genome_dir())
        await create_lineage(session, DEFAULT_LINEAGE, genome, "seed")
