"""Image archives as `docker load` takes them, made by hand so that an image depends on its content.

A build by the engine stamps its own time into the image; here the configuration is ours, with time
0, so the same layers give the same image. A layer the engine has already may be left out of the
archive: it is known by its digest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

EPOCH: Final = "1970-01-01T00:00:00Z"
_PIECE_BYTES: Final = 1 << 20
_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: the digest of its tar, and the tar (None: the engine has it)."""

    digest: str
    content: bytes | Path | None = None

    @classmethod
    def of(cls, tar: bytes) -> Layer:
        """The layer with this tar."""
        return cls(f"sha256:{hashlib.sha256(tar).hexdigest()}", tar)

    @classmethod
    def of_file(cls, path: Path) -> Layer:
        """The layer whose tar is in a file."""
        with path.open("rb") as file:
            return cls(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", path)


def image_archive(
    layers: Sequence[Layer], config: dict[str, Any], architecture: str, tag: str
) -> Iterator[bytes]:
    """The archive of an image, in pieces.

    Args:
        layers: from the lowest to the topmost.
        config: what containers of it start with (`Env`, `User`, `Entrypoint`, `Cmd`, `Labels`).
        architecture: as the engine names it, such as `amd64`.
        tag: name under which the engine keeps it.
    """
    image = {
        "architecture": architecture,
        "config": config,
        "created": EPOCH,
        "history": [{"created": EPOCH, "created_by": "project-o"} for _ in layers],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }
    body = json.dumps(image, sort_keys=True, separators=(",", ":")).encode()
    name = f"{hashlib.sha256(body).hexdigest()}.json"
    paths = [f"{layer.digest.removeprefix('sha256:')}/layer.tar" for layer in layers]
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": paths}]).encode()
    yield from _member(name, body)
    for path, layer in zip(paths, layers, strict=True):
        if layer.content is not None:
            yield from _member(path, layer.content)
    yield from _member("manifest.json", manifest)
    yield _END


def exported_layers(path: Path, folder: Path, digests: Sequence[str]) -> list[Layer]:
    """The layers of an image that the engine exported to the file `path`, unpacked into `folder`.

    `digests` are those of its uncompressed layers, in order; the engine may have packed them.
    """
    with tarfile.open(path) as archive:
        manifest = archive.extractfile("manifest.json")
        names = json.load(manifest)[0]["Layers"] if manifest else []
        for position, name in enumerate(names):
            _unpack(archive, name, folder / str(position))
    return [Layer(digest, folder / str(position)) for position, digest in enumerate(digests)]


def _unpack(archive: tarfile.TarFile, name: str, target: Path) -> None:
    content = archive.extractfile(name)
    if content is not None:
        with target.open("wb") as file:
            shutil.copyfileobj(content, file, _PIECE_BYTES)


def _member(name: str, content: bytes | Path) -> Iterator[bytes]:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    info = tarfile.TarInfo(name)
    info.size = size
    yield info.tobuf(tarfile.USTAR_FORMAT)
    if isinstance(content, bytes):
        yield content
    else:
        with content.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
    yield bytes(-size % _BLOCK)
