"""`python -m o_platform.supervisor SPEC.json`: supervise until told to stop.

Exit codes: 0 stopped as asked; 1 escalated (the reason is on stderr and in `events.jsonl`);
2 the specification is wrong; 3 another supervisor runs already.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from o_platform.supervisor.loop import Supervisor, end_leftovers
from o_platform.supervisor.records import AlreadyRunningError, take_lock
from o_platform.supervisor.spec import SpecError, SupervisorSpec, load

_OOM_SCORE_ADJ = "-900"
"""The kernel should take anything rather than the parent of all; only root may ask for it."""


def main(arguments: list[str]) -> int:
    """Run with the command line's arguments; the exit code."""
    if len(arguments) != 1:
        return _complain("usage: python -m o_platform.supervisor SPEC.json", 2)
    try:
        spec = load(Path(arguments[0]))
    except SpecError as error:
        return _complain(str(error), 2)
    for folder in (spec.run_dir, spec.log_dir):
        Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        take_lock(Path(spec.run_dir) / "supervisor.lock")
    except AlreadyRunningError as error:
        return _complain(str(error), 3)
    return _supervise(spec)


def _supervise(spec: SupervisorSpec) -> int:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_ADJ)
    leftovers = end_leftovers(spec)
    supervisor = Supervisor(spec, dict(os.environ))
    for name, pid in leftovers:
        supervisor.record_leftover(name, pid)
    code = supervisor.run()
    if code:
        _complain(supervisor.status()["reason"], code)
    return code


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"o-supervisor: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
