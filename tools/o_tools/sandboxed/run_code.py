"""`run_code`: a program that a model wrote, run where it can do no harm."""

from __future__ import annotations

import ast
import contextlib
import io
import traceback
from typing import Any, Literal

NAME = "<code>"


def run_code(code: str, language: Literal["python"] = "python") -> dict[str, Any]:
    """Run a program in a sandbox without a network and get what it printed and came to.

    Each call begins with nothing: no variable and no file is kept from an earlier one.

    Args:
        code: the program; the value of its last line is given back if it is an expression.
        language: what it is written in; the standard library is there, nothing else is.
    """
    out, err = io.StringIO(), io.StringIO()
    results: list[str] = []
    error = None
    space: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            program = ast.parse(code, NAME)
            last = program.body[-1] if program.body else None
            ending = None
            if isinstance(last, ast.Expr):
                program.body.pop()
                ending = ast.Expression(last.value)
            exec(compile(program, NAME, "exec"), space)
            if ending is not None:
                value = eval(compile(ending, NAME, "eval"), space)
                results = [] if value is None else [repr(value)]
        except BaseException as problem:
            error = _told(problem)
    logs = {"stdout": out.getvalue(), "stderr": err.getvalue()}
    return {"results": results, "logs": logs, "error": error}


def _told(problem: BaseException) -> dict[str, str]:
    """The problem, and where in the program it was."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = traceback.StackSummary.from_list(f for f in frames if f.filename == NAME)
    shown = "".join([*own.format(), *traceback.format_exception_only(problem)])
    return {"name": type(problem).__name__, "value": str(problem), "traceback": shown}
