"""Built-in tools that run in a sandbox of the instance, as tools of agents do.

Each is one module of this package with one function of the tool's name, whose signature and
docstring say what the model is told. `GRANTS` is what they reach, by the names that tools of agents
are granted it by. None of them changes anything of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files as resources
from types import MappingProxyType
from typing import Final

from o_contracts.messages import ToolCode, ToolSpec
from o_sandbox.authoring import describe_function

TIER: Final = "wasm"
GRANTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "web_search": ("http.fetch:api.exa.ai", "secrets.use:EXA_API_KEY"),
        "fetch_webpage": ("http.fetch:*",),
        "run_code": (),
    }
)
"""The tools by name, in the order they are listed."""


def _spec(name: str) -> ToolSpec:
    source = resources(__name__).joinpath(f"{name}.py").read_text()
    defined = describe_function(source, name)
    code = ToolCode(defined.code(source), defined.entry, TIER, list(GRANTS[name]))
    return ToolSpec(name, defined.description, defined.parameters, "instance", code)


SANDBOXED: Final[Mapping[str, ToolSpec]] = MappingProxyType({name: _spec(name) for name in GRANTS})
"""What the model is told of each, and what is run."""
