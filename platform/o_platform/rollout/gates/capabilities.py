"""What a genome's Python code could reach: its capabilities, found without running it.

A capability is an import outside the allow-list, a built-in that opens files or runs text, or a way
around such a check (dunder and private attributes, attribute names made at run time). This is a
sieve and not a sandbox: it keeps honest mistakes and plain attacks out early and cheaply, and the
container keeps the rest in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

ALLOWED_MODULES: Final = frozenset(
    {
        "__future__", "abc", "array", "base64", "bisect", "calendar", "cmath", "collections",
        "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools",
        "hashlib", "heapq", "html", "itertools", "json", "math", "numbers", "operator", "random",
        "re", "statistics", "string", "textwrap", "time", "typing", "unicodedata", "uuid", "zlib",
        "zoneinfo", "o_agent.hooks", "o_agent.sdk", "o_contracts.llm", "o_contracts.messages",
    }
)  # fmt: skip
_REACHING: Final = frozenset(
    {
        "asyncio", "builtins", "codecs", "ctypes", "gc", "http", "importlib", "inspect", "io",
        "marshal", "multiprocessing", "os", "pathlib", "pickle", "posix", "pty", "shutil", "signal",
        "socket", "subprocess", "sys", "tempfile", "threading", "urllib",
    }
)  # fmt: skip
"""Module names that are no business of a genome, reached as an attribute of another module too."""
_BUILTINS: Final = frozenset(
    {
        "__import__", "compile", "delattr", "eval", "exec", "globals", "locals", "open", "setattr",
        "vars",
    }
)  # fmt: skip
_BY_NAME: Final = frozenset({"getattr", "hasattr", "attrgetter", "methodcaller"})
"""Calls that take the name of an attribute."""
_HARMLESS_DUNDERS: Final = frozenset({"__name__", "__doc__", "__all__", "__version__"})
_GADGETS: Final = ("__class__", "__globals__", "__subclasses__", "__builtins__", "__import__")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something in a file that a gate objects to; `line` counts from 1."""

    file: str
    line: int
    what: str
    capability: str = ""
    """What the code could do by it; equal for equal abilities, wherever they are."""

    def __str__(self) -> str:
        """`file:line: what`."""
        return f"{self.file}:{self.line}: {self.what}"


def findings(files: Mapping[str, bytes], allowed: frozenset[str]) -> list[Finding]:
    """Every capability in the Python files of a genome, in order of file and line.

    Args:
        files: contents by path; other files are passed over.
        allowed: modules that may be imported (a package allows its submodules only by name).
    """
    found: list[Finding] = []
    for path, data in sorted(files.items()):
        if path.endswith(".py"):
            found += _file_findings(path, data, allowed)
    return sorted(set(found))


def _file_findings(path: str, data: bytes, allowed: frozenset[str]) -> list[Finding]:
    try:
        tree = ast.parse(data, path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        return [Finding(path, line, f"cannot be parsed: {error}", "syntax")]
    visitor = _Visitor(allowed)
    visitor.visit(tree)
    return [Finding(path, line, what, capability) for line, what, capability in visitor.found]


class _Visitor(ast.NodeVisitor):
    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self.found: list[tuple[int, str, str]] = []

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._check_module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self._add(node, "relative imports do not work in a genome", "relative import")
        else:
            self._check_module(node, node.module or "")
        for alias in node.names:
            self._check_name(node, alias.name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        if not own or node.attr.startswith("__"):
            self._check_name(node, node.attr)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _BUILTINS:
            self._add(node, f"uses the built-in `{node.id}`", f"built-in {node.id}")
        elif _is_dunder(node.id):
            self._add(node, f"uses `{node.id}`", f"name {node.id}")

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node.func)
        if name in _BY_NAME:
            self._check_attribute_call(node, name)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            for gadget in _GADGETS:
                if gadget in node.value:
                    self._add(node, f"a text holds `{gadget}`", f"text {gadget}")

    def _check_attribute_call(self, node: ast.Call, name: str) -> None:
        names = node.args[1:2] if name in {"getattr", "hasattr"} else node.args
        for argument in names:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                for part in argument.value.split("."):
                    self._check_name(argument, part)
            else:
                what = f"`{name}` with a name that is not written out"
                self._add(node, what, f"{name} by computed name")
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            self._add(node, f"`{name}` with unpacked arguments", f"{name} by computed name")

    def _check_module(self, node: ast.AST, module: str) -> None:
        if module not in self._allowed and not _is_safe_submodule(module, self._allowed):
            self._add(node, f"imports `{module}`", f"import {module}")

    def _check_name(self, node: ast.AST, name: str) -> None:
        if _is_dunder(name):
            self._add(node, f"reaches for `{name}`", f"attribute {name}")
        elif name in _REACHING:
            self._add(node, f"reaches for `{name}` through another module", f"attribute {name}")
        elif name.startswith("_") and name != "_":
            self._add(node, f"reaches for the private `{name}`", f"attribute {name}")

    def _add(self, node: ast.AST, what: str, capability: str) -> None:
        self.found.append((getattr(node, "lineno", 1), what, capability))


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in _HARMLESS_DUNDERS


def _is_safe_submodule(module: str, allowed: frozenset[str]) -> bool:
    return any(module.startswith(f"{name}.") for name in _parents(module) if name in allowed)


def _parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    for end in range(1, len(parts)):
        yield ".".join(parts[:end])
