"""`python -m o_agent`: PID 1 of an instance."""

from __future__ import annotations

import logging
import sys

from o_agent.environment import EnvironmentProblem, take_environment
from o_agent.log import configure_logging
from o_agent.zygote import GiveUp, Zygote, open_listener

_log = logging.getLogger("o_agent")
_USAGE_EXIT = 64


def main() -> int:
    """Run the instance until it is told to stop; returns the exit code."""
    configure_logging()
    try:
        environment = take_environment()
        listener = open_listener(environment.agent_socket)
    except EnvironmentProblem as problem:
        _log.critical("%s", problem)
        return _USAGE_EXIT
    except OSError as error:
        _log.critical("cannot listen: %s", error)
        return 1
    zygote = Zygote(environment, listener)
    try:
        zygote.run()
    except GiveUp as end:
        zygote.kill()
        _log.critical("%s", end, extra={"exit_code": end.code})
        return end.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
