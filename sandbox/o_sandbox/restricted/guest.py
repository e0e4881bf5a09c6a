"""One call of guest code inside a worker: its globals, and how it ends."""

from __future__ import annotations

import json
from typing import Any, Final

from o_sandbox.outcome import Reason
from o_sandbox.restricted.facades import FACADES, Facade, random_facade
from o_sandbox.restricted.guards import GUARDS, guest_builtins, refuse_import
from o_sandbox.restricted.policy import Compiler, PolicyError
from o_sandbox.worker import wire
from o_sandbox.worker.capabilities import Capabilities, offered
from o_sandbox.worker.connection import Host
from o_sandbox.worker.console import Console
from o_sandbox.worker.verdict import Ended, Verdict, described, encoded

_decode: Final = json.JSONDecoder().raw_decode


class Guest:
    """Runs calls, keeping compiled sources between them and nothing else."""

    def __init__(self, host: Host) -> None:
        """`host` answers what guests call."""
        self._host = host
        self._compiler = Compiler()

    def run(self, start: wire.Start) -> wire.Done:
        """Run one call to its end."""
        return _Run(self._host, start).done(self._compiler)


class _Printer:
    """What rewritten code asks for in each function that prints."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, _getattr: Any = None) -> _Printer:
        return self

    def _call_print(
        self, *values: Any, sep: str | None = " ", end: str | None = "\n", **_: Any
    ) -> None:
        text = (" " if sep is None else sep).join(map(str, values))
        self._console.write("stdout", text + ("\n" if end is None else end))


class _Run:
    def __init__(self, host: Host, start: wire.Start) -> None:
        self._start = start
        self._verdict = Verdict()
        self._console = Console(self._verdict, start.output_bytes, host)
        self._capabilities = Capabilities(self._verdict, start, self._console, host)

    def done(self, compiler: Compiler) -> wire.Done:
        """How the call ended; what was forced on it counts, whatever the guest made of that."""
        reason, value, error = self._attempt(compiler)
        if self._verdict.forced is not None:
            (reason, error), value = self._verdict.forced, b"null"
        self._console.flush()
        return wire.Done(reason, value, error)

    def _attempt(self, compiler: Compiler) -> tuple[Reason, bytes, str]:
        try:
            value = self._value(compiler)
            self._console.check_with(value)
        except PolicyError as error:
            return "error", b"null", f"the tier `restricted` does not take this source: {error}"
        except MemoryError:
            limit = self._start.memory_bytes
            return "memory", b"null", f"the tool needed more than {limit} bytes of memory"
        except Ended:
            return "error", b"null", ""
        except BaseException as error:  # noqa: BLE001 - whatever foreign code raises is its outcome
            return "error", b"null", described(error, self._start.code)
        return "ok", value, ""

    def _value(self, compiler: Compiler) -> bytes:
        start = self._start
        names = {
            **GUARDS,
            "_print_": _Printer(self._console),
            "__builtins__": guest_builtins(self._load),
        }
        exec(compiler.code_of(start.code), names)  # noqa: S102 - rewritten by the policy, in a jail
        function = names.get(start.entry)
        if not callable(function):
            raise NameError(f"the source defines no function {start.entry!r}")
        args, _ = _decode(start.args.decode())
        return encoded(function(**args))

    def _load(self, name: str, *_: Any) -> Facade:
        """What `import name` and `from name import …` give."""
        if name == "o":
            return Facade("o", offered(self._capabilities))
        if name == "random":
            return random_facade(self._start.seed)
        if name not in FACADES:
            refuse_import(name, {*FACADES, "o", "random"})
        return FACADES[name]
