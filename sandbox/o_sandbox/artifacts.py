"""The WebAssembly that this package carries: made by its build, packed, never committed.

`python` is the component with CPython in it (see `guest/`), `quickjs` is QuickJS as a WASI reactor.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from o_sandbox.protocol import SandboxUnavailableError

ArtifactName = Literal["python", "quickjs"]
BUILT: Final = Path(__file__).parent / "_built"


class Artifact(Struct, frozen=True):
    """One packed file. `digest` is the SHA-256 of what is inside, in hexadecimal."""

    name: ArtifactName
    digest: str

    @property
    def packed(self) -> Path:
        """The file."""
        return BUILT / f"{self.name}.wasm.gz"

    def unpacked(self) -> bytes:
        """What is inside."""
        return gzip.decompress(self.packed.read_bytes())


def artifact(name: ArtifactName) -> Artifact:
    """One that this installation carries.

    Raises:
        SandboxUnavailableError: it carries none.
    """
    try:
        described = (BUILT / f"{name}.json").read_bytes()
    except FileNotFoundError:
        raise SandboxUnavailableError(
            f"this installation of project-o carries no {name}.wasm: install it from a wheel, or "
            "run `python -m o_sandbox.guest.build` in a checkout"
        ) from None
    return msgspec.json.decode(described, type=Artifact)
