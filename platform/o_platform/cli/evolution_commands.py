"""`o evolve`: one cycle of a lineage's evolution."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o_platform.cli.terminal import first_line, print_json, say, short_digest

if TYPE_CHECKING:
    from o_platform.cli.control_api import ControlApi

_WATCH_S = 0.5
_OPEN = "open"
_FAILED = "failed"


def evolve(
    once: Annotated[bool, typer.Option("--once", help="One cycle (the only way so far).")] = False,
    lineage: Annotated[str, typer.Option(help="Name of the lineage.")] = "default",
    policy: Annotated[str, typer.Option(help="Policy of the rollout.")] = "default",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let the configured model propose a change to the genome, and start its rollout.

    Returns when the rollout has started, with `--wait` when it has ended; 1 if nothing came of it.
    """
    from o_platform.cli.connection import connect

    if not once:
        raise typer.BadParameter("say --once: cycles are started one at a time")
    api = connect()
    attempt_id = api.post("/o/v1/evolve", {"lineage": lineage, "policy": policy})["attempt_id"]
    attempt = _awaited(api, lineage, attempt_id, _has_ended if wait else _is_on_its_way)
    if as_json:
        print_json(attempt)
    else:
        _describe(attempt)
    if attempt["outcome"] == _FAILED:
        raise typer.Exit(1)


def _has_ended(attempt: dict[str, Any]) -> bool:
    return bool(attempt["outcome"] != _OPEN)


def _is_on_its_way(attempt: dict[str, Any]) -> bool:
    return _has_ended(attempt) or attempt["rollout_id"] is not None


def _awaited(
    api: ControlApi, lineage: str, attempt_id: str, enough: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    while True:
        attempts: list[dict[str, Any]] = api.get("/o/v1/attempts", lineage=lineage)
        for attempt in attempts:
            if attempt["id"] == attempt_id and enough(attempt):
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
    if attempt["outcome"] == _OPEN:
        say(f"next        `o rollout status {attempt['rollout_id']} --watch`")
    elif attempt["stopped_by"] == "proposal":
        say("next        name a model that can propose in O_EVOLUTION_MODEL (with its provider's")
        say("            key), or the script of o/scripted in O_SCRIPTED_MODEL; `o down`, `o up`")
