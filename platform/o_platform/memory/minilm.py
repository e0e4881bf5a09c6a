"""The local embedding model `o/minilm`: all-MiniLM-L6-v2, on the processor, without a network.

The extra `local-embeddings` brings the package with the weights. They are read as they are
(safetensors is a header and the raw numbers), and the six layers are computed with numpy: no deep
learning framework is imported, which would take half a gigabyte and seconds. A text is cut after
256 tokens, as the model was trained. It knows English best.

Source: Devlin et al., "BERT", 2019 (the encoder); Reimers and Gurevych, "Sentence-BERT", 2019
(the mean over the tokens). A unit test holds it against an independent computation.
"""

from __future__ import annotations

import asyncio
import json
import math
import mmap
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from o_platform.memory.embedders import MINILM_MODEL, Vector

LONGEST_TOKENS: Final = 256
BATCH: Final = 16
"""Texts that are computed together; they are padded to the longest of them."""
_EPSILON: Final = 1e-12
_ERF: Final = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
Array = NDArray[np.float32]


class MiniLm:
    """The model `o/minilm`; its files are read at the first call."""

    handle = MINILM_MODEL

    def __init__(self, folder: Path) -> None:
        """`folder` holds config.json, tokenizer.json and model.safetensors."""
        self._folder = folder
        self._lock = asyncio.Lock()

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of these texts, of length 1."""
        async with self._lock:
            return await asyncio.to_thread(self.compute, texts)

    def compute(self, texts: Sequence[str]) -> list[Vector]:
        """What `embed` gives, in this thread."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), BATCH):
            encoded = self._tokenizer.encode_batch(list(texts[start : start + BATCH]))
            ids = np.array([one.ids for one in encoded])
            mask = np.array([one.attention_mask for one in encoded], dtype=np.float32)
            vectors += self._encoder.means(ids, mask).tolist()
        return vectors

    @cached_property
    def _encoder(self) -> _Encoder:
        config = json.loads((self._folder / "config.json").read_text())
        tensors = _read_tensors(self._folder / "model.safetensors")
        return _Encoder(tensors, config["num_hidden_layers"], config["num_attention_heads"])

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.enable_truncation(LONGEST_TOKENS)
        tokenizer.enable_padding()
        return tokenizer


class _Encoder:
    """BERT's encoder with its weights by name."""

    def __init__(self, tensors: Mapping[str, Array], layers: int, heads: int) -> None:
        self._tensors = tensors
        self._layers = layers
        self._heads = heads

    def means(self, ids: NDArray[np.int64], mask: Array) -> Array:
        """Shape (texts, width), each row of length 1, of token ids and mask (texts, tokens)."""
        hidden = self._embedded(ids)
        hidden_mask = (1.0 - mask[:, None, None, :]) * np.float32(-1e9)
        for number in range(self._layers):
            hidden = self._layer(f"encoder.layer.{number}", hidden, hidden_mask)
        summed = (hidden * mask[:, :, None]).sum(axis=1)
        mean = summed / np.maximum(mask.sum(axis=1, keepdims=True), 1.0)
        length = np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), _EPSILON)
        return np.asarray(mean / length, dtype=np.float32)

    def _embedded(self, ids: NDArray[np.int64]) -> Array:
        words = self._tensors["embeddings.word_embeddings.weight"][ids]
        places = self._tensors["embeddings.position_embeddings.weight"][: ids.shape[1]]
        kind = self._tensors["embeddings.token_type_embeddings.weight"][0]
        return self._normalised("embeddings.LayerNorm", words + places + kind)

    def _layer(self, name: str, hidden: Array, mask: Array) -> Array:
        attended = self._linear(
            f"{name}.attention.output.dense", self._attention(name, hidden, mask)
        )
        hidden = self._normalised(f"{name}.attention.output.LayerNorm", hidden + attended)
        inner = _gelu(self._linear(f"{name}.intermediate.dense", hidden))
        outer = self._linear(f"{name}.output.dense", inner)
        return self._normalised(f"{name}.output.LayerNorm", hidden + outer)

    def _attention(self, name: str, hidden: Array, mask: Array) -> Array:
        query, key, value = (
            self._split(self._linear(f"{name}.attention.self.{part}", hidden))
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(query.shape[-1]) + mask
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        joined = (weights @ value).transpose(0, 2, 1, 3)
        return np.asarray(joined.reshape(hidden.shape))

    def _split(self, hidden: Array) -> Array:
        texts, tokens, width = hidden.shape
        shape = (texts, tokens, self._heads, width // self._heads)
        return hidden.reshape(shape).transpose(0, 2, 1, 3)

    def _linear(self, name: str, hidden: Array) -> Array:
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        flat = hidden.reshape(-1, hidden.shape[-1]) @ weight.T + bias
        return flat.reshape(*hidden.shape[:-1], -1)

    def _normalised(self, name: str, hidden: Array) -> Array:
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + _EPSILON) * weight + bias)


def _gelu(values: Array) -> Array:
    """X Φ(x), by Abramowitz and Stegun's formula 7.1.26 for the error function (within 1.5e-7)."""
    scaled = np.abs(values) / np.float32(math.sqrt(2.0))
    step = 1.0 / (1.0 + 0.3275911 * scaled)
    series = np.zeros_like(step)
    for factor in reversed(_ERF):
        series = (series + factor) * step
    erf = np.sign(values) * (1.0 - series * np.exp(-scaled * scaled))
    return np.asarray(0.5 * values * (1.0 + erf), dtype=np.float32)


def _read_tensors(path: Path) -> dict[str, Array]:
    """The tensors of a safetensors file, mapped into memory, not copied."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {
        name: _tensor(data, start, info) for name, info in header.items() if info["dtype"] == "F32"
    }


def _tensor(data: mmap.mmap, start: int, info: dict[str, Any]) -> Array:
    first, last = info["data_offsets"]
    flat = np.frombuffer(data, dtype="<f4", count=(last - first) // 4, offset=start + first)
    return flat.reshape(info["shape"])
