"""The encoder of `o/minilm`, held against an independent computation on a small random model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers

from o_platform.memory.minilm import MiniLm

pytestmark = pytest.mark.unit

WORDS = ("[PAD]", "[UNK]", "green", "tea", "a", "dog")
WIDTH, INNER, HEADS, LAYERS = 8, 12, 2, 2
Tensors = dict[str, NDArray[np.float32]]


def random_tensors() -> Tensors:
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": (16, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        for part in ("attention.self.query", "attention.self.key", "attention.self.value"):
            shapes |= {f"{layer}.{part}.weight": (WIDTH, WIDTH), f"{layer}.{part}.bias": (WIDTH,)}
        for part, wide, narrow in (
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", INNER, WIDTH),
            ("output.dense", WIDTH, INNER),
        ):
            shapes |= {f"{layer}.{part}.weight": (wide, narrow), f"{layer}.{part}.bias": (wide,)}
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}.{part}.weight": (WIDTH,), f"{layer}.{part}.bias": (WIDTH,)}
    random = np.random.default_rng(7)
    return {n: random.normal(size=s).astype(np.float32) for n, s in shapes.items()}


def write_model(folder: Path, tensors: Tensors) -> None:
    config = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    (folder / "config.json").write_text(json.dumps(config))
    numbers = {word: n for n, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": offsets}
        data += raw
    head = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data)


def reference(tensors: Tensors, ids: list[int]) -> list[float]:
    """One text at a time, one head at a time, without padding, in double precision."""
    t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}

    def linear(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.einsum("ij,kj->ik", x, t[f"{name}.weight"]) + t[f"{name}.bias"]

    def norm(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + 1e-12)
        return rows * t[f"{name}.weight"] + t[f"{name}.bias"]

    x = np.array([t["embeddings.word_embeddings.weight"][i] for i in ids])
    x = x + t["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm("embeddings.LayerNorm", x + t["embeddings.token_type_embeddings.weight"][0])
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        q, k, v = (linear(f"{layer}.attention.self.{p}", x) for p in ("query", "key", "value"))
        heads = []
        for part in np.split(np.arange(WIDTH), HEADS):
            weights = np.exp(q[:, part] @ k[:, part].T / math.sqrt(len(part)))
            heads.append(weights / weights.sum(1, keepdims=True) @ v[:, part])
        attended = linear(f"{layer}.attention.output.dense", np.hstack(heads))
        x = norm(f"{layer}.attention.output.LayerNorm", x + attended)
        inner = linear(f"{layer}.intermediate.dense", x)
        gelu = np.vectorize(lambda n: n * (1 + math.erf(n / math.sqrt(2))) / 2)(inner)
        x = norm(f"{layer}.output.LayerNorm", x + linear(f"{layer}.output.dense", gelu))
    mean = x.mean(0)
    return list(mean / np.linalg.norm(mean))


async def test_vectors_are_those_of_an_independent_computation(tmp_path: Path) -> None:
    tensors = random_tensors()
    write_model(tmp_path, tensors)
    texts = {"green tea": [2, 3], "a dog a dog tea": [4, 5, 4, 5, 3], "nobody": [1]}
    vectors = await MiniLm(tmp_path).embed(list(texts))
    for vector, ids in zip(vectors, texts.values(), strict=True):
        assert vector == pytest.approx(reference(tensors, ids), abs=1e-4)
    many = await MiniLm(tmp_path).embed(["green tea", *(["a dog"] * 40)])
    assert len(many) == 41
    assert many[0] == pytest.approx(vectors[0], abs=1e-5)
