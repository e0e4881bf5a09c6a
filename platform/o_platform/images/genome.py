"""A genome: the folder of typed genes that a variant is made of, named by its content.

The digest is the sha256 of a deterministic tar of the folder, so the same genes give the same
variant wherever they came from. Everything is checked here, before anything is stored or built:
layout, names, sizes, that every file is text, that Python compiles and that each parameter lies
within its own bounds. What the code *does* is for the gates to find out.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from o_platform.errors import BuildError
from o_platform.images.layout import MAX_BYTES, MAX_FILES, check_path, check_python, check_text
from o_platform.images.params import Param, parse_params
from o_platform.images.tarball import Entry, tar_bytes

MANIFEST = "genome.toml"
_IGNORED_FOLDER = "__pycache__"


@dataclass(frozen=True, slots=True)
class Genome:
    """A checked genome. Make one with `from_dir`, `from_tar` or `from_files`."""

    digest: str
    """sha256 of `tar`, 64 hex digits; the variant's name."""
    tar: bytes = field(repr=False, compare=False)
    files: Mapping[str, bytes] = field(repr=False, compare=False)
    """Contents by path, sorted by path."""
    params: Mapping[str, Param] = field(repr=False, compare=False)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Genome:
        """Check `files` (contents by path relative to the genome's root) and name them.

        Raises:
            BuildError: a file that a genome may not hold; names it, and what to do.
        """
        _check_amount(len(files), sum(map(len, files.values())))
        for path, data in files.items():
            check_path(path)
            check_text(path, data)
            if path.endswith(".py"):
                check_python(path, data)
        if MANIFEST not in files:
            raise BuildError(
                f"the genome has no {MANIFEST}; every genome needs one, if only an empty file",
                file=MANIFEST,
            )
        ordered = dict(sorted(files.items()))
        tar = tar_bytes(Entry(path, content=data) for path, data in ordered.items())
        return cls(
            digest=hashlib.sha256(tar).hexdigest(),
            tar=tar,
            files=MappingProxyType(ordered),
            params=MappingProxyType(parse_params(ordered[MANIFEST], MANIFEST)),
        )

    @classmethod
    def from_dir(cls, path: Path) -> Genome:
        """The genome in a folder; `__pycache__` is passed over.

        Raises:
            BuildError: not a folder, or something in it that a genome may not hold.
        """
        if not path.is_dir():
            raise BuildError(f"{path} is not a folder; name the folder that holds {MANIFEST}")
        return cls.from_files(_read_folder(path))

    @classmethod
    def from_tar(cls, data: bytes) -> Genome:
        """The genome in an uncompressed tar; order, times and owners in it do not matter.

        Raises:
            BuildError: not a tar, or something in it that a genome may not hold.
        """
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
                return cls.from_files(_read_members(archive))
        except tarfile.TarError as error:
            raise BuildError(f"not a plain tar archive: {error}") from error

    def param_values(self) -> dict[str, object]:
        """Parameter values by name, as they are stored with the variant."""
        return {name: param.value for name, param in self.params.items()}

    def write_to(self, path: Path) -> None:
        """Write the files into the folder `path`, which is made if it is not there."""
        path.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def seed_genome_dir() -> Path:
    """The folder of the seed genome: of the installed wheel, else of the source tree.

    Raises:
        BuildError: neither is there; the installation is damaged.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "genomes", here.parents[2] / "agent_images" / "genomes"):
        if (folder / "default" / MANIFEST).is_file():
            return folder / "default"
    raise BuildError("the seed genome is missing from this installation; install project-o again")


def _read_folder(root: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size = 0
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                name = path.relative_to(root).as_posix()
                if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                    raise _not_a_file(name)
                if entry.is_dir():
                    if entry.name != _IGNORED_FOLDER:
                        pending.append(path)
                    continue
                size += entry.stat(follow_symlinks=False).st_size
                _check_amount(len(files) + 1, size)
                files[name] = path.read_bytes()
    return files


def _read_members(archive: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size = 0
    for member in archive:
        if member.isdir():
            continue
        if not member.isreg():
            raise _not_a_file(member.name)
        if member.name in files:
            raise BuildError(f"{member.name} is twice in the archive", file=member.name)
        size += member.size
        _check_amount(len(files) + 1, size)
        content = archive.extractfile(member)
        files[member.name] = content.read() if content else b""
    return files


def _not_a_file(name: str) -> BuildError:
    return BuildError(
        f"{name} is a link or a special file; a genome holds plain files and folders only",
        file=name,
    )


def _check_amount(count: int, size: int) -> None:
    if count > MAX_FILES:
        raise BuildError(f"more than {MAX_FILES} files; a genome holds at most that many")
    if size > MAX_BYTES:
        raise BuildError(f"more than {MAX_BYTES} bytes in all; a genome holds at most that much")
