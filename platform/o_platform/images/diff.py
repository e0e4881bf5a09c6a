"""What changed between two genomes, as a unified diff."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterator

from o_platform.images.genome import Genome


def genome_diff(a: Genome, b: Genome) -> str:
    """A unified diff from `a` to `b`, in order of path; empty when they are equal."""
    paths = sorted(a.files.keys() | b.files.keys())
    return "".join(line for path in paths for line in _file_diff(path, a, b))


def _file_diff(path: str, a: Genome, b: Genome) -> Iterator[str]:
    before, after = a.files.get(path), b.files.get(path)
    old = "/dev/null" if before is None else f"a/{path}"
    new = "/dev/null" if after is None else f"b/{path}"
    if before != after and not before and not after:
        yield f"--- {old}\n+++ {new}\n"
    for line in difflib.unified_diff(_lines(before or b""), _lines(after or b""), old, new):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(data: bytes) -> list[str]:
    return io.StringIO(data.decode(), newline="\n").readlines()
