r"""Sandboxes for programs without asyncio.

    with BlockingSandbox() as sandbox:
        print(sandbox.run("def double(x):\n    return x * 2", {"x": 21}).value)

An event loop on a thread of its own does the work, so any thread may call, and several at once.
"""

from __future__ import annotations

import ast
import asyncio
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, TypeVar

from o_sandbox.limits import Limits
from o_sandbox.outcome import Outcome
from o_sandbox.protocol import Grants, OnOutput, Sandbox
from o_sandbox.tiers import local_tiers
from o_sandbox.tool import Tool

USUAL: Final = Limits()
T = TypeVar("T")


class BlockingSandbox:
    """Calls of a sandbox that return when they are done. Use it as a context."""

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        """`sandbox`: one of any tier, not started; None for all tiers of this machine."""
        self._sandbox = sandbox or local_tiers()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)

    def __enter__(self) -> BlockingSandbox:
        """Start.

        Raises:
            SandboxUnavailableError: this machine lacks what the sandbox needs.
        """
        self._thread.start()
        try:
            self._done(self._sandbox.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything that was started."""
        try:
            self._done(self._sandbox.close())
        finally:
            self._end()

    def run(
        self,
        tool: Tool | str,
        args: Mapping[str, Any],
        limits: Limits = USUAL,
        grants: Grants | None = None,
        *,
        on_output: OnOutput | None = None,
    ) -> Outcome:
        """Call a tool's function once; see `Sandbox.run`.

        Args:
            tool: a tool; or Python source with one public function, for the tier `wasm`.
            args: its arguments, JSON-ready.
            limits: what it may use.
            grants: what it may call; None for nothing.
            on_output: called with pieces of output, on another thread.

        Raises:
            ValueError: the source has no such function, or `args` are not JSON-ready.
            SandboxUnavailableError: this machine lacks the tool's tier.
            SandboxError: the host failed.
        """
        if isinstance(tool, str):
            tool = Tool(_only_function(tool), tool)
        call = self._sandbox.run(tool, args, limits, grants or {}, on_output=on_output)
        return self._done(call)

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _only_function(source: str) -> str:
    """The name of the one public function that Python source defines.

    Raises:
        ValueError: it is no Python, or defines none or several.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"the source is no Python: {error}") from None
    defined = [
        each.name for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    public = [name for name in defined if not name.startswith("_")]
    if len(public) != 1:
        raise ValueError(f"a source has one public function, not {public}; name it with a `Tool`")
    return public[0]
