"""`o evolve`: one cycle of a lineage's evolution."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o_platform.cli.terminal import first_line, print_json, say, short_digest

if TYPE_CHECKING:
    from o_platform.cli.control_api import ControlApi

_WATCH_S = 0.5
_OPEN = "open"


def evolve(
    once: Annotated[bool, typer.Option("--once", help="One cycle (the only way so far).")] = False,
    lineage: Annotated[str, typer.Option(help="Name of the lineage.")] = "default",
    policy: Annotated[str, typer.Option(help="Policy of the rollout.")] = "default",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let the configured model propose a change to the genome, and start its rollout."""
    from o_platform.cli.connection import connect

    if not once:
        raise typer.BadParameter("say --once: cycles are started one at a time")
    api = connect()
    attempt_id = api.post("/o/v1/evolve", {"lineage": lineage, "policy": policy})["attempt_id"]
    attempt = _await_outcome(api, lineage, attempt_id) if wait else {"id": attempt_id}
    if as_json:
        print_json(attempt)
    elif wait:
        _describe(attempt)
    else:
        say(f"{attempt_id} started; follow it with `o rollout status --watch`")


def _await_outcome(api: ControlApi, lineage: str, attempt_id: str) -> dict[str, Any]:
    while True:
        attempts: list[dict[str, Any]] = api.get("/o/v1/attempts", lineage=lineage)
        for attempt in attempts:
            if attempt["id"] == attempt_id and attempt["outcome"] != _OPEN:
                return attempt
        time.sleep(_WATCH_S)


def _describe(attempt: dict[str, Any]) -> None:
    say(f"attempt     {attempt['id']} ({attempt['operator']}, risk {attempt['risk']})")
    say(f"hypothesis  {first_line(attempt['hypothesis'])}")
    say(f"variant     {short_digest(attempt['variant'])}")
    stopped = f", stopped by {attempt['stopped_by']}" if attempt["stopped_by"] else ""
    say(f"outcome     {attempt['outcome']}{stopped}")
    if attempt["lesson"]:
        say(f"lesson      {attempt['lesson']}")
