"""The manifests of the bridge's tools, `tool.toml`: what the model is told, what each may do."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files as resources
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from o_tools import agents, documents, edits, files, queries

_MODULES: Final = {
    "agents": agents, "documents": documents, "edits": edits, "files": files, "queries": queries,
}  # fmt: skip
Grant = Literal[
    "memory.read", "memory.write", "messages.search", "archive.insert", "archive.search",
    "files.read", "agents.send",
]  # fmt: skip
Effects = Literal["none", "turn", "others"]


class ManifestError(Exception):
    """`tool.toml` is not usable; the message says where."""


class ToolLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """`calls`: how often one turn may call the tool."""

    calls: Annotated[int, Meta(ge=1, le=1000)]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """One built-in tool.

    `arguments` names a class, as `module.Class` of this package. `grants` are what it reaches.
    `effects` says what it changes: nothing, what becomes lasting with the turn's commit, or what
    others do, at once.
    """

    description: str
    arguments: str
    tier: Literal["bridge"]
    grants: list[Grant]
    effects: Effects
    limits: ToolLimits

    @property
    def arguments_type(self) -> type[Struct]:
        """The type of its arguments.

        Raises:
            ManifestError: there is no such class.
        """
        module, _, name = self.arguments.partition(".")
        found = getattr(_MODULES.get(module), name, None)
        if not (isinstance(found, type) and issubclass(found, Struct)):
            raise ManifestError(f"tool.toml: {self.arguments} is no type of arguments")
        return found


def read_manifests(text: str) -> Mapping[str, Manifest]:
    """Manifests by the tools' names, in their order.

    Raises:
        ManifestError: the text is no TOML, or a tool lacks something or has too much.
    """
    try:
        return msgspec.convert(tomllib.loads(text), dict[str, Manifest])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ManifestError(f"tool.toml: {error}") from None


MANIFESTS: Final[Mapping[str, Manifest]] = MappingProxyType(
    dict(read_manifests(resources("o_tools").joinpath("tool.toml").read_text()))
)
"""The manifest of each built-in tool, by name."""
