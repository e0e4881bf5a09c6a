"""The genome as running code: loads a directory of genes and says clearly what is wrong with one.

| gene | what it is |
|---|---|
| `genome.toml` | bounded parameters: `[params.<name>]` with `value`, `min`, `max` |
| `prompts/system.md` | the text around the agent's own system prompt |
| `blocks/policy.toml` | how memory blocks are shown to the model |
| `tools/*.py` | functions under `@tool` |
| `loop/hooks.py` | pure functions the step loop calls |

A gene that is absent has its default. Genes are imported by path under the name `o_genome.…`, in
the worker, never in PID 1: a gene that hangs or crashes at import takes a worker with it, no more.
What a genome can *not* change are the outer bounds of the parameters below.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import msgspec

from o_agent.prompt_template import PromptTemplate, TemplateError
from o_agent.sdk import Tool
from o_contracts.turns import MAX_STEPS

INVALID_GENOME_EXIT: Final = 78
"""Exit code of an instance whose genome cannot run (EX_CONFIG of sysexits.h)."""

T = TypeVar("T", bound=msgspec.Struct)
ParamValue = bool | int | float | str


class GenomeError(Exception):
    """A gene is not usable; the message names the file and what to change."""

    def __init__(self, file: str, reason: str) -> None:
        """`file` is relative to the genome's directory."""
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class ParamGene(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[params.<name>]` table. `min` and `max` bound where evolution may move the value."""

    value: ParamValue
    min: int | float | None = None
    max: int | float | None = None
    choices: list[ParamValue] | None = None
    description: str = ""


class GenomeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`genome.toml`."""

    params: dict[str, ParamGene] = {}
    name: str = "default"
    description: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """Default and outer bounds of a parameter that the step loop itself reads."""

    default: float
    low: float
    high: float


BOUNDS: Final[Mapping[str, Bound]] = {
    "history_messages": Bound(60, 1, 1000),
    "max_steps": Bound(50, 1, MAX_STEPS),
    "temperature": Bound(1.0, 0.0, 2.0),
    "tool_return_chars": Bound(50_000, 100, 1_000_000),
    "tool_timeout_s": Bound(10.0, 0.01, 60.0),
}


class MemoryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`blocks/policy.toml`: which blocks come first, and what is said about them."""

    order: tuple[str, ...] = ("persona", "human")
    show_usage: bool = True
    show_descriptions: bool = True
    guidance: str = ""


Hook = Callable[[Any, Mapping[str, ParamValue]], Any]
HOOK_NAMES: Final = ("before_step", "after_reply", "after_tool")


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions of `loop/hooks.py`; see `o_agent.hooks` for what each gets and may return."""

    before_step: Hook | None = None
    after_reply: Hook | None = None
    after_tool: Hook | None = None


@dataclass(frozen=True, slots=True)
class Genome:
    """A loaded genome, ready for the step loop."""

    params: Mapping[str, ParamValue]
    template: PromptTemplate
    policy: MemoryPolicy = field(default_factory=MemoryPolicy)
    hooks: Hooks = field(default_factory=Hooks)
    tools: Mapping[str, Tool] = field(default_factory=dict)

    def number(self, name: str) -> float:
        """A parameter of `BOUNDS`, inside its bounds."""
        return float(self.params.get(name, BOUNDS[name].default))

    def count(self, name: str) -> int:
        """A parameter of `BOUNDS` that counts something."""
        return int(self.number(name))


def load_genome(root: Path) -> Genome:
    """Load every gene below `root`.

    Raises:
        GenomeError: a gene is missing its form, its bounds, or fails at import.
    """
    if not root.is_dir():
        raise GenomeError(str(root), "is not a directory; O_GENOME must name the genome")
    return Genome(
        params=_load_params(root),
        template=_load_template(root),
        policy=_load_policy(root),
        hooks=_load_hooks(root),
        tools=_load_tools(root),
    )


def _load_params(root: Path) -> dict[str, ParamValue]:
    name = "genome.toml"
    file = _read_toml(root, name, GenomeFile)
    for param, gene in file.params.items():
        problem = _param_problem(param, gene)
        if problem:
            raise GenomeError(name, f"params.{param}: {problem}")
    return {param: gene.value for param, gene in file.params.items()}


def _param_problem(name: str, gene: ParamGene) -> str | None:
    bound = BOUNDS.get(name)
    if gene.choices is not None and gene.value not in gene.choices:
        return f"{gene.value!r} is not one of {gene.choices}"
    if isinstance(gene.value, bool | str):
        return "must be a number" if bound else None
    low = max(_or(gene.min, float("-inf")), bound.low if bound else float("-inf"))
    high = min(_or(gene.max, float("inf")), bound.high if bound else float("inf"))
    if not low <= gene.value <= high:
        return f"{gene.value} is outside {low:g} … {high:g}"
    return None


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _load_template(root: Path) -> PromptTemplate:
    name = "prompts/system.md"
    path = root / name
    if not path.exists():
        return PromptTemplate.default()
    try:
        return PromptTemplate.parse(_read_text(root, name))
    except TemplateError as error:
        raise GenomeError(name, str(error)) from error


def _load_policy(root: Path) -> MemoryPolicy:
    name = "blocks/policy.toml"
    return _read_toml(root, name, MemoryPolicy) if (root / name).exists() else MemoryPolicy()


def _load_hooks(root: Path) -> Hooks:
    name = "loop/hooks.py"
    if not (root / name).exists():
        return Hooks()
    module = _import(root, name)
    found = {hook: getattr(module, hook) for hook in HOOK_NAMES if hasattr(module, hook)}
    for hook, function in found.items():
        if not inspect.isfunction(function) or len(inspect.signature(function).parameters) != 2:
            raise GenomeError(name, f"{hook} must be a plain function of two arguments")
    return Hooks(**found)


def _load_tools(root: Path) -> dict[str, Tool]:
    tools: dict[str, Tool] = {}
    for path in sorted((root / "tools").glob("*.py")):
        name = f"tools/{path.name}"
        for value in vars(_import(root, name)).values():
            if not isinstance(value, Tool):
                continue
            if tools.setdefault(value.name, value) is not value:
                raise GenomeError(name, f"a second tool is named {value.name!r}")
    return tools


def _import(root: Path, name: str) -> ModuleType:
    module_name = "o_genome." + name.removesuffix(".py").replace("/", ".")
    spec = importlib.util.spec_from_file_location(module_name, root / name)
    if spec is None or spec.loader is None:
        raise GenomeError(name, "is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (
        Exception,
        SystemExit,
    ) as error:  # the edge to foreign code: whatever it raises is its defect
        raise GenomeError(name, f"fails at import: {type(error).__name__}: {error}") from error
    return module


def _read_toml(root: Path, name: str, kind: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(_read_text(root, name)), kind)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise GenomeError(name, str(error)) from error


def _read_text(root: Path, name: str) -> str:
    try:
        return (root / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GenomeError(name, f"cannot be read: {error}") from error
