"""The control run: every payload on plain CPython, where it must succeed.

`python -m o_sandbox.attacks.control` runs *inside a throw-away container without a network* and
prints one JSON line per payload; it refuses to run elsewhere. Each payload runs in a child forked
for it: first an earlier call (whose argument is the residue), then the payload, then the clean
probe, all in the one interpreter, as a naive host would do it. The child is ended when its time is
up; what it did is judged by the same canaries as in the sandboxes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from o_sandbox.attacks import naive
from o_sandbox.attacks.attack import BUDGETS, ENTRY, Attack, Detector
from o_sandbox.attacks.canaries import Canaries, Secrets, expose_variable
from o_sandbox.attacks.corpus import load
from o_sandbox.attacks.probe import Probe

_ADDRESS_SPACE: Final = 2 * 1024**3
_FILE_SIZE: Final = 8 * 1024**2
_SETTLE_S: Final = 0.6
"""How long a spawned process may take to make its marker."""
_LINE: Final = 16 * 1024
"""Longest line the child says; three of them fit into a pipe."""
_FIRST, _SECOND = 17, 41
"""What the clean calls before and after the payload are given."""
_PROBE: Final = Probe("wasm").tool
ALLOWED: Final = "O_ATTACK_CONTROL"
"""Set by whoever starts the throw-away container; without it nothing runs."""


@dataclass(frozen=True, slots=True)
class Control:
    """What one payload did when nothing confined it."""

    attack: str
    expected: frozenset[Detector]
    fired: frozenset[Detector]
    error: str = ""

    @property
    def held(self) -> bool:
        """Whether all that was expected fired; over one budget is as good as over another."""
        over = bool(self.fired & BUDGETS) or not self.expected & BUDGETS
        return self.expected - BUDGETS <= self.fired and over

    def line(self) -> str:
        """As a line of JSON; `parse` reads it."""
        return json.dumps(
            {
                "attack": self.attack,
                "expected": sorted(self.expected),
                "fired": sorted(self.fired),
                "error": self.error,
            }
        )

    @classmethod
    def parse(cls, line: str) -> Control:
        """From a line of JSON."""
        fields = json.loads(line)
        for name in ("expected", "fired"):
            fields[name] = frozenset(map(Detector, fields[name]))
        return cls(**fields)


def run(attacks: Sequence[Attack], folder: Path) -> list[Control]:
    """Run payloads on plain CPython, printing a line for each.

    Raises:
        RuntimeError: this is not the throw-away container.
    """
    if os.environ.get(ALLOWED) != "throw-away":
        raise RuntimeError(
            "payloads run unconfined only in a throw-away container; use `o sandbox attack`"
        )
    secret = Secrets.fresh()
    expose_variable(secret)
    results = []
    with Canaries(folder, secret) as canaries:
        for attack in attacks:
            results.append(_attempt(attack, canaries))
            sys.stdout.write(results[-1].line() + "\n")
            sys.stdout.flush()
    return results


def _attempt(attack: Attack, canaries: Canaries) -> Control:
    with tempfile.TemporaryFile() as output:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _child(attack, canaries, writer, output.fileno())
        os.close(writer)
        late, usage = _wait(child, attack.bound_s)
        reply = _drain(reader)
        output.seek(0)
        printed = output.read(_FILE_SIZE)
        fired = _taken(attack, canaries, reply.text + printed.decode(errors="replace"))
        _end_group(child)
        fired |= _over_budget(attack, reply, len(printed), late, usage)
        if not late and not reply.probe_held():
            fired |= {Detector.POISON}
        return Control(attack.id, attack.fires, fired, reply.error)


def _wait(child: int, bound_s: float) -> tuple[bool, resource.struct_rusage]:
    """Wait for a child within its bound, then end it; whether it was late, and what it used."""
    descriptor = os.pidfd_open(child)
    late = not select.select([descriptor], [], [], bound_s)[0]
    os.close(descriptor)
    if late:
        _end_group(child)
    return late, os.wait4(child, 0)[2]


def _end_group(child: int) -> None:
    """End a child and what it spawned in its session."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(child, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a child said: a line for each of its calls that ended."""

    lines: tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        return json.dumps(self.lines, ensure_ascii=False)

    @property
    def error(self) -> str:
        return next((str(each["error"])[-300:] for each in self.lines if "error" in each), "")

    @property
    def size(self) -> int:
        """Bytes of the payload's value or error, before it was cut."""
        sizes = [each.get("size") for each in self.lines if {"value", "error"} & set(each)]
        return sum(size for size in sizes if isinstance(size, int))

    def probe_held(self) -> bool:
        """Whether the clean call after the payload gave what the one before it gave."""
        probe = Probe("wasm")
        before = [each["before"] for each in self.lines if "before" in each]
        after = [each["after"] for each in self.lines if "after" in each]
        return bool(
            before
            and after
            and probe.accepts(_FIRST, before[0])
            and probe.accepts(_SECOND, after[0])
        )


def _drain(reader: int) -> _Reply:
    os.set_blocking(reader, False)
    pieces = []
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(reader, 1 << 20):
            pieces.append(piece)
    os.close(reader)
    found = []
    for line in b"".join(pieces).decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            found.append(json.loads(line))
    return _Reply(tuple(each for each in found if isinstance(each, dict)))


def _taken(attack: Attack, canaries: Canaries, text: str) -> frozenset[Detector]:
    """What of the bait was taken; waits a little for what comes from another process."""
    fired = canaries.taken(text)
    deadline = time.monotonic() + _SETTLE_S
    awaited = attack.fires & {Detector.MARKER, Detector.LISTENER}
    while awaited - fired and time.monotonic() < deadline:
        time.sleep(0.01)
        fired |= canaries.taken("")
    return fired


def _over_budget(
    attack: Attack, reply: _Reply, printed: int, late: bool, usage: resource.struct_rusage
) -> frozenset[Detector]:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    over = {
        Detector.TIME: late,
        Detector.MEMORY: (usage.ru_maxrss - own) * 1024 > attack.limits.memory_bytes,
        Detector.OUTPUT: printed + reply.size > attack.limits.output_bytes,
    }
    return frozenset(detector for detector, is_over in over.items() if is_over)


def _child(attack: Attack, canaries: Canaries, writer: int, output: int) -> None:
    """The naive host; never returns."""
    leave = os._exit
    try:
        _confine_a_little(canaries, output)
        _three_calls(attack, canaries, writer)
    finally:
        leave(0)


def _confine_a_little(canaries: Canaries, output: int) -> None:
    """Only what keeps the control run itself alive: own session, no endless files or memory."""
    os.setsid()
    for channel in (1, 2):
        os.dup2(output, channel)
    os.dup2(os.open(str(canaries.targets()["file"]), os.O_RDONLY), 0)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_SIZE, _FILE_SIZE))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _three_calls(attack: Attack, canaries: Canaries, writer: int) -> None:
    say, line_of = os.write, _line
    clean: dict[str, object] = {"n": _FIRST, "residue": canaries.secret.residue}
    sys.modules["o"] = naive.module()
    say(writer, line_of("before", _call(_PROBE.code, "probe", clean)))
    try:
        line = line_of("value", _call(attack.code, ENTRY, {"t": canaries.targets()}))
    except BaseException as error:  # noqa: BLE001 — a payload may raise anything
        line = line_of("error", "".join(traceback.format_exception(error))[-2_000_000:])
    say(writer, line)
    value = _call(_PROBE.code, "probe", clean | {"n": _SECOND})
    sys.stdout.flush()
    say(writer, line_of("after", value))


def _line(kind: str, value: object) -> bytes:
    text = json.dumps(value, default=str)
    if len(text) > _LINE // 2:
        cut = json.dumps({kind: text[: _LINE // 2], "size": len(text)})
    else:
        cut = json.dumps({kind: value, "size": len(text)}, default=str)
    return cut.encode(errors="replace") + b"\n"


def _call(code: str | bytes, entry: str, args: dict[str, object]) -> object:
    namespace: dict[str, Any] = {"__name__": "tool", "__builtins__": __builtins__}
    exec(compile(code, "<tool>", "exec", dont_inherit=True), namespace)  # noqa: S102 — the point
    value = namespace[entry](**args)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def main() -> None:
    """Run all payloads of Python, or those whose ids or families are given."""
    attacks = [each for each in load() if each.language == "python"]
    if wanted := set(sys.argv[1:]):
        attacks = [each for each in attacks if {each.id, each.family} & wanted]
    # Not a TemporaryDirectory: a payload that runs the exit handlers would remove it. The folder
    # goes with the container.
    run(attacks, Path(tempfile.mkdtemp()))


if __name__ == "__main__":
    main()
