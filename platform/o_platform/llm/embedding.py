"""The embedding models of this server: built in, local, and all that LiteLLM can reach."""

from __future__ import annotations

from collections.abc import Sequence

from o_contracts.llm import MAX_EMBEDDED, EmbedRequest
from o_platform.llm.client import LlmClient
from o_platform.llm.prices import listed_model
from o_platform.memory import embeddings
from o_platform.memory.embedders import HASH_MODEL, MINILM_MODEL, Embedders, Vector
from o_platform.memory.minilm import DIMENSIONS, installed_minilm
from o_platform.settings import Settings

_LOCAL_DIMENSIONS = {HASH_MODEL: embeddings.DIMENSIONS, MINILM_MODEL: DIMENSIONS}


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
    minilm = [MINILM_MODEL] if installed_minilm() is not None else []
    return list(dict.fromkeys([HASH_MODEL, *minilm, *settings.embedding_models]))


def listed_dimensions(handle: str) -> int:
    """How many numbers the vectors of this model have, as far as it is listed; else 0."""
    listed = listed_model(handle).output_vector_size
    return _LOCAL_DIMENSIONS.get(handle) or (int(listed) if isinstance(listed, int | float) else 0)


def embedders(client: LlmClient) -> Embedders:
    """Every embedding model; `client` reaches the LLM gateway."""
    minilm = installed_minilm()
    local = [minilm] if minilm is not None else []
    return Embedders(local, lambda handle: GatewayEmbedder(handle, client))
