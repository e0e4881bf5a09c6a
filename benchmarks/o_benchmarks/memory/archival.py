"""Search of a large archive: how long it takes, and how much of what is nearest it finds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector

from o_benchmarks.memory.bulk import Took, without_indexes
from o_benchmarks.memory.kept import built, kept_server, kept_vault
from o_benchmarks.memory.searches import QUERIES, WARM_UP, timed
from o_benchmarks.memory.topics import DIMENSIONS, PER_TOPIC, Vectors, queries, rounds
from o_platform.db import marks
from o_platform.db.engine import Database
from o_platform.db.sealed_columns import PASSAGE_TEXT
from o_platform.db.sealing import Vault
from o_platform.memory.embedders import Embedders
from o_platform.memory.reembedding import Reembedding
from o_platform.memory.search import Model, PassageQuery, search_archives

NEAREST: Final = 10
MODEL: Final = "bench/topics"
ARCHIVE: Final = "archive-00000000-0000-4000-8000-000000000000"
NO_WORDS: Final = "?"
"""A query that only nearness answers."""


async def archival(folder: Path, passages: int) -> dict[str, float]:
    """Latency and recall of searches over so many passages, kept in `folder`."""
    topics = max(1, passages // PER_TOPIC)
    name = f"archival_{topics * PER_TOPIC}"
    asked = queries(topics, QUERIES + WARM_UP)
    models = [Model(MODEL, vector.tolist()) for vector in asked.vectors]
    with kept_server(folder) as server:
        done = built(folder, server, name, partial(_fill, topics, asked.vectors[:QUERIES]))
        database = Database(server.url_of(name), kept_vault(folder))
        await Reembedding(database, Embedders()).ensure_indexes()

        async def search(number: int) -> None:
            await _search(database, models[number], asked.texts[number])

        figures = await timed("archival.search", server, search)
        found = 0
        for model, nearest in zip(models[:QUERIES], done.nearest, strict=True):
            hits = await _search(database, model, NO_WORDS)
            found += len(hits & {_passage_id(number) for number in nearest})
        await database.close()
    figures["archival.recall_share"] = found / (NEAREST * QUERIES)
    figures["archival.passages"] = topics * PER_TOPIC
    return figures | {f"archival.built.{step}_s": s for step, s in done.took.items()}


async def _search(database: Database, model: Model, text: str) -> set[str]:
    query = PassageQuery(text, top_k=NEAREST)
    async with database.exchange() as exchange:
        hits = await search_archives(exchange, database.vault, [ARCHIVE], [model], query)
    return {hit.passage.id for hit in hits}


def _fill(
    topics: int, asked: Vectors, connection: psycopg.Connection, vault: Vault, took: Took
) -> list[list[int]]:
    register_vector(connection)
    connection.execute(
        "INSERT INTO archives (id, name, embedding, dimensions) VALUES (%s, 'bench', %s, %s)",
        (ARCHIVE, MODEL, DIMENSIONS),
    )
    began, best = time.perf_counter(), _Nearest(len(asked))
    with (
        without_indexes(connection, "passages", took),
        without_indexes(connection, "passage_vectors", took),
    ):
        first = 0
        for made in rounds(topics):
            best.look_at(first, made.vectors @ asked.T)
            _copy_passages(connection, vault, first, made.texts)
            _copy_vectors(connection, first, made.vectors)
            first += len(made.texts)
        took["filled"] = time.perf_counter() - began
    return best.numbers


def _copy_passages(
    connection: psycopg.Connection, vault: Vault, first: int, texts: list[str]
) -> None:
    columns = "COPY passages (id, archive_id, text, words, tags, metadata) FROM STDIN"
    with connection.cursor().copy(columns) as copy:
        for number, text in enumerate(texts, first):
            passage_id = _passage_id(number)
            sealed = PASSAGE_TEXT.sealed(vault, text, passage_id)
            words = marks.vector(vault, text)
            copy.write_row((passage_id, ARCHIVE, sealed, words, "{}", "{}"))


def _copy_vectors(connection: psycopg.Connection, first: int, vectors: Vectors) -> None:
    columns = (
        "COPY passage_vectors (passage_id, model, archive_id, dimensions, embedding, tags,"
        " created_at) FROM STDIN (FORMAT binary)"
    )
    now = datetime.now(UTC)
    with connection.cursor().copy(columns) as copy:
        copy.set_types(["text", "text", "text", "int4", "vector", "text[]", "timestamptz"])
        for number, vector in enumerate(vectors, first):
            copy.write_row((_passage_id(number), MODEL, ARCHIVE, DIMENSIONS, vector, [], now))


class _Nearest:
    """The most alike passages to each query so far."""

    def __init__(self, count: int) -> None:
        self._numbers: NDArray[np.int64] = np.zeros((0, count), dtype=np.int64)
        self._likeness: NDArray[np.float32] = np.zeros((0, count), dtype=np.float32)

    def look_at(self, first: int, likeness: NDArray[Any]) -> None:
        """`likeness` of the passages from number `first` on, shape (passages, queries)."""
        part = np.argpartition(-likeness, NEAREST, axis=0)[:NEAREST]
        all_numbers = np.concatenate([self._numbers, first + part])
        nearest = np.take_along_axis(likeness, part, axis=0)
        all_likeness = np.concatenate([self._likeness, nearest])
        order = np.argsort(-all_likeness, axis=0, kind="stable")[:NEAREST]
        self._numbers = np.take_along_axis(all_numbers, order, axis=0)
        self._likeness = np.take_along_axis(all_likeness, order, axis=0)

    @property
    def numbers(self) -> list[list[int]]:
        """The `NEAREST` of each query, best first."""
        return [[int(number) for number in column] for column in self._numbers.T]


def _passage_id(number: int) -> str:
    return f"passage-{number:08x}-0000-4000-8000-000000000000"
