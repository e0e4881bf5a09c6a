"""Every built-in tool: what the model is told, and how a call of one of the bridge's is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct

from o_contracts.messages import ToolSpec
from o_tools.errors import ToolError
from o_tools.manifests import MANIFESTS
from o_tools.sandboxed import SANDBOXED


def _parameters(arguments: type[Struct]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([arguments])
    schema: dict[str, Any] = _inlined(components[arguments.__name__], components)
    return {
        "type": "object",
        "properties": schema.get("properties", {}),
        "required": schema.get("required", []),
    }


def _inlined(schema: Any, components: Mapping[str, Any]) -> Any:
    """The schema without references: some models' providers do not follow them."""
    if isinstance(schema, list):
        return [_inlined(one, components) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[schema["$ref"].rpartition("/")[2]], components)
    return {key: _inlined(value, components) for key, value in schema.items()}


SPECS: Final[Mapping[str, ToolSpec]] = MappingProxyType(
    {
        name: ToolSpec(name, manifest.description, _parameters(manifest.arguments_type))
        for name, manifest in MANIFESTS.items()
    }
    | dict(SANDBOXED)
)
"""What the model is told of each tool, by name."""

_DECODERS: Final = {
    name: msgspec.json.Decoder(manifest.arguments_type, strict=False)
    for name, manifest in MANIFESTS.items()
}


def specs_of(names: Iterable[str]) -> list[ToolSpec]:
    """The specs of the built-in tools among `names`, in that order."""
    return [SPECS[name] for name in names if name in SPECS]


def parse_call(name: str, arguments: str) -> Struct:
    """The arguments of a call, as one of the types in `edits` and `queries`.

    Unknown arguments are ignored and numbers in quotes are taken, as models write them.

    Raises:
        ToolError: no such tool, or arguments that do not fit its schema.
    """
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise ToolError(f"there is no tool {name!r}; the tools are {', '.join(MANIFESTS)}")
    try:
        call: Struct = decoder.decode(arguments or "{}")
    except msgspec.MsgspecError as error:
        raise ToolError(f"the arguments of {name} are not valid: {error}") from error
    return call
