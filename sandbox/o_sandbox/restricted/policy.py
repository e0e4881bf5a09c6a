"""Compiles guest source by RestrictedPython's rules, with what tools need beyond them.

Beyond its rules: annotations are dropped instead of refused; `d[k] += 1` and `o.a += 1` work; a
bare `except:` means `except Exception:`, so that a guest cannot catch what ends its call.
"""

from __future__ import annotations

import ast
from collections import OrderedDict
from types import CodeType
from typing import Any, Final

from RestrictedPython.compile import compile_restricted_exec
from RestrictedPython.transformer import (
    IOPERATOR_TO_STR,
    RestrictingNodeTransformer,
    copy_locations,
)

from o_sandbox.worker.verdict import FILE_NAME

MAX_COMPILED: Final = 256
MAX_COMPILED_BYTES: Final = 4 * 1024 * 1024
"""Of sources kept compiled, together."""


class PolicyError(Exception):
    """Source that the tier does not take; the text lists each line and why."""


class _Policy(RestrictingNodeTransformer):
    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return self.node_contents_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return super().visit_FunctionDef(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> Any:
        is_bare = node.type is None
        visited = super().visit_ExceptHandler(node)
        if is_bare:
            node.type = ast.copy_location(ast.Name("_Exception", ast.Load()), node)
        return visited

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if isinstance(node.target, ast.Subscript):
            return self._in_place(node, node.target.value, node.target.slice)
        if isinstance(node.target, ast.Attribute):
            return self._in_place(node, node.target.value, None)
        return super().visit_AugAssign(node)

    def _in_place(self, node: ast.AugAssign, holder: ast.expr, key: ast.expr | None) -> Any:
        """`holder[key] += x` as statements that evaluate holder and key once."""
        keep, subject = self._kept(holder, node)
        steps = [keep]
        if key is None:
            name = node.target.attr  # type: ignore[union-attr]  # an Attribute: it has no key
            if not self._is_plain(node, name):
                return node
            target: ast.expr = ast.Attribute(_call("_write_", subject()), name, ast.Store())
            present = _call("_getattr_", subject(), ast.Constant(name))
        else:
            keep_key, index = self._kept(key, node)
            steps.append(keep_key)
            target = ast.Subscript(_call("_write_", subject()), index(), ast.Store())
            present = _call("_getitem_", subject(), index())
        sign = ast.Constant(IOPERATOR_TO_STR[type(node.op)])
        changed = _call("_inplacevar_", sign, present, self.visit(node.value))
        steps.append(ast.Assign([target], changed))
        for step in steps:
            copy_locations(step, node)
        return steps

    def _kept(self, value: ast.expr, node: ast.AST) -> tuple[ast.stmt, Any]:
        name = self.gen_tmp_name()
        step = ast.Assign([ast.Name(name, ast.Store())], self.visit(value))
        return step, lambda: ast.Name(name, ast.Load())

    def _is_plain(self, node: ast.AST, name: str) -> bool:
        if name.startswith("_"):
            self.error(node, f'"{name}" is an invalid attribute name because it starts with "_".')
        return not name.startswith("_")


class Compiler:
    """Compiles sources, remembering the latest."""

    def __init__(self) -> None:
        """Nothing is compiled yet."""
        self._compiled: OrderedDict[str, CodeType] = OrderedDict()
        self._size = 0

    def code_of(self, source: str) -> CodeType:
        """The rewritten source as code.

        Raises:
            PolicyError: the source uses what the tier refuses, or is no Python.
        """
        code = self._compiled.get(source)
        if code is None:
            code = self._compiled[source] = _compile(source)
            self._size += len(source)
            self._forget()
        else:
            self._compiled.move_to_end(source)
        return code

    def _forget(self) -> None:
        while len(self._compiled) > MAX_COMPILED or self._size > MAX_COMPILED_BYTES:
            source, _ = self._compiled.popitem(last=False)
            self._size -= len(source)


def _compile(source: str) -> CodeType:
    try:
        result = compile_restricted_exec(source, filename=FILE_NAME, policy=_Policy)
    except (RecursionError, ValueError) as error:
        raise PolicyError(f"the source cannot be compiled: {error}") from None
    if result.code is None:
        raise PolicyError("\n".join(result.errors))
    return result.code


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
