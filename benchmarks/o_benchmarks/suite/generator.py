"""The load generator: wrk with a script of ours, closed loop, one thread.

It has to be lean, since it runs on the cores of what it measures: a turn costs it some 20 µs. Each
connection sends the next request when the last one is answered; all walk through one list of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

SCRIPT: Final = Path(__file__).with_name("requests.lua")
REMEDY: Final = (
    "the load generator wrk is missing and could not be installed ({reason}); install it "
    "(Debian, Ubuntu: `apt install wrk`; Fedora: `dnf install wrk`; macOS: `brew install wrk`) and "
    "run `make bench` again"
)
_ANSWER_LIMIT_S: Final = 30


class GeneratorError(Exception):
    """wrk is not to be had, or did not do what it should."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of the generator saw. Latencies in microseconds, as the clients saw them."""

    answered: int
    took_us: int
    p50_us: float
    p99_us: float
    max_us: float
    refused: int
    """Answers with a status of 400 and above."""
    unanswered: int
    """Broken connections and requests without an answer in time."""
    cpu_us: float
    """CPU time of the generator itself."""

    @property
    def rps(self) -> float:
        """Answered requests per second."""
        return self.answered / self.took_us * 1e6


async def find_generator() -> str:
    """The program, installed with the system's packages where that is possible.

    Raises:
        GeneratorError: it is not to be had; says what to do.
    """
    found = shutil.which("wrk")
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise GeneratorError(REMEDY.format(reason="only root on Debian can do that here"))
    for command in (
        ("apt-get", "update", "-qq"),
        ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "wrk"),
    ):
        problem = await _problem_of(command)
    found = shutil.which("wrk")
    if found is None:
        raise GeneratorError(REMEDY.format(reason=problem or "apt-get installed something else"))
    return found


class Request(NamedTuple):
    """A request of a load; `body` is JSON, or nothing."""

    method: str
    path: str
    body: str = ""


def write_requests(path: Path, requests: Iterable[Request]) -> Path:
    """The requests as the generator reads them; none may hold a tab or a line break."""
    path.write_text("".join("\t".join(request) + "\n" for request in requests))
    return path


def turn_request(agent_id: str) -> Request:
    """A request for a turn."""
    body = '{"messages":[{"role":"user","content":"hello"}]}'
    return Request("POST", f"/v1/agents/{agent_id}/messages", body)


async def generate(
    program: str,
    base_url: str,
    requests: Path,
    *,
    connections: int,
    seconds: float,
    key: str | None = None,
) -> Load:
    """Send requests for some seconds.

    Args:
        program: wrk.
        base_url: where clients reach the platform.
        requests: file of requests (`write_requests`).
        connections: requests under way at once.
        seconds: how long, rounded to whole ones.
        key: an API key to send along.

    Raises:
        GeneratorError: wrk failed; the message ends with what it said.
    """
    command = [
        program, "--threads", "1", "--connections", str(connections),
        "--duration", f"{max(1, round(seconds))}s", "--timeout", f"{_ANSWER_LIMIT_S}s",
        "--script", str(SCRIPT), base_url, "--", str(requests), *([key] if key else []),
    ]  # fmt: skip
    before_us = _children_cpu_us()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode:
        raise GeneratorError(f"wrk ended with {process.returncode}: {err.decode()[-500:]}")
    return parse_load(out.decode(), _children_cpu_us() - before_us)


def parse_load(output: str, cpu_us: float) -> Load:
    """What the script printed last, as a value.

    Raises:
        GeneratorError: that is not what the script prints, or nothing was answered.
    """
    lines = output.strip().splitlines()
    try:
        load = Load(**json.loads(lines[-1]), cpu_us=cpu_us)
    except (IndexError, ValueError, TypeError) as error:
        raise GeneratorError(f"wrk printed no result but {output[-500:]!r}") from error
    if load.answered == 0:
        raise GeneratorError(f"no request was answered: {load}")
    return load


def _children_cpu_us() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


async def _problem_of(command: Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    if not process.returncode:
        return ""
    return f"`{' '.join(command)}` failed: {err.decode().strip()[-300:]}"
