"""`o rollout`: a variant's way through the gates to stable, or out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o_platform.cli.terminal import ago, print_json, say, short_digest
from o_platform.errors import NotFoundError

if TYPE_CHECKING:
    from o_platform.cli.control_api import ControlApi

app = typer.Typer(no_args_is_help=True, help="Rollouts: start, watch, approve, pause, abort.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LineageOption = Annotated[str, typer.Option(help="Name of the lineage.")]
IdArgument = Annotated[
    str | None, typer.Argument(help="The rollout's id; the lineage's newest one if absent.")
]
_WATCH_S = 0.5
_NEXT = {
    "awaiting_approval": "`o rollout approve`",
    "paused": "`o rollout resume`",
    "insufficient_data": "more traffic",
}


@app.command(
    epilog="Examples: `o rollout start 3f9c` · `o rollout start 3f9c --policy demo --watch`"
)
def start(
    variant: Annotated[str, typer.Argument(help="Digest, or its first 4 or more hex digits.")],
    lineage: LineageOption = "default",
    policy: Annotated[str, typer.Option(help="See `o rollout policies`.")] = "default",
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a variant's rollout."""
    from o_platform.cli.connection import connect

    api = connect()
    body = {"lineage": lineage, "variant": variant, "policy": policy}
    rollout = api.post("/o/v1/rollouts", body)
    if as_json:
        print_json(rollout)
    else:
        say(f"{rollout['id']} started for {short_digest(rollout['variant'])}")
    if watch:
        _watch(api, rollout["id"])


@app.command(
    epilog="Examples: `o rollout status` · `o rollout status --watch` · `o rollout status ID`"
)
def status(
    rollout_id: IdArgument = None,
    lineage: LineageOption = "default",
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how a rollout stands, and what happened in it."""
    from o_platform.cli.connection import connect

    api = connect()
    rollout = _find(api, rollout_id, lineage)
    events = api.get(f"/o/v1/rollouts/{rollout['id']}/events")
    if as_json:
        print_json(rollout | {"events": events})
        return
    say(f"rollout  {rollout['id']} of {short_digest(rollout['variant'])} in {rollout['lineage']}")
    say(
        f"against  {short_digest(rollout['baseline'])}, policy {rollout['policy'].get('name', '–')}"
    )
    say(f"state    {rollout['state']}{_gate(rollout)}: {rollout['message']}")
    mirrored = _share(rollout["mirror_permille"])
    say(f"traffic  {_share(rollout['weight_permille'])}, mirrored {mirrored}")
    if rollout["intent"]:
        say(f"asked    {rollout['intent']}, at the latest when the present gate is over")
    if rollout["state"] in _NEXT:
        say(f"next     {_NEXT[rollout['state']]}, or `o rollout abort`")
    if watch:
        _watch(api, rollout["id"])
        return
    for event in events:
        _say_event(event)


@app.command(epilog="Examples: `o rollout history` · `o rollout history --lineage support --json`")
def history(lineage: LineageOption = "default", as_json: JsonOption = False) -> None:
    """List a lineage's rollouts, the newest first."""
    from o_platform.cli.connection import connect

    rollouts = connect().get("/o/v1/rollouts", lineage=lineage)
    if as_json:
        print_json(rollouts)
        return
    for r in rollouts:
        typer.secho(f"{r['id']}  {short_digest(r['variant'])}  {r['state']}", bold=True)
        say(f"  by {r['created_by']}, {ago(r['created_at'])}{_gate(r)}: {r['message']}")
    if not rollouts:
        say(f"the lineage {lineage!r} has no rollout yet")


@app.command(epilog="Examples: `o rollout policies` · `o rollout policies --json`")
def policies(as_json: JsonOption = False) -> None:
    """List the policies a rollout can follow."""
    from o_platform.cli.connection import connect

    found = connect().get("/o/v1/policies")
    if as_json:
        print_json(found)
        return
    for policy in found:
        typer.secho(policy["name"], bold=True)
        for name, value in policy.items():
            if name != "name":
                say(f"  {name}: {value}")


@app.command(epilog="Examples: `o rollout approve` · `o rollout approve ID`")
def approve(rollout_id: IdArgument = None, lineage: LineageOption = "default") -> None:
    """Let a rollout that waits for an operator go on."""
    _ask(rollout_id, lineage, "approve")


@app.command(epilog="Examples: `o rollout pause` · `o rollout pause ID`")
def pause(rollout_id: IdArgument = None, lineage: LineageOption = "default") -> None:
    """Hold a rollout where it is; its share of the traffic stays."""
    _ask(rollout_id, lineage, "pause")


@app.command(epilog="Examples: `o rollout resume` · `o rollout resume ID`")
def resume(rollout_id: IdArgument = None, lineage: LineageOption = "default") -> None:
    """Let a paused rollout go on."""
    _ask(rollout_id, lineage, "resume")


@app.command(epilog="Examples: `o rollout abort` · `o rollout abort ID`")
def abort(rollout_id: IdArgument = None, lineage: LineageOption = "default") -> None:
    """Take a variant out of the traffic at once, whatever the state of its rollout."""
    _ask(rollout_id, lineage, "abort")


def _ask(rollout_id: str | None, lineage: str, what: str) -> None:
    from o_platform.cli.connection import connect

    api = connect()
    wanted = _find(api, rollout_id, lineage)["id"]
    rollout = api.post(f"/o/v1/rollouts/{wanted}/{what}")
    say(f"{rollout['id']} is {rollout['state']}{_gate(rollout)}: {rollout['message']}")
    if rollout["intent"]:
        say(f"`{rollout['intent']}` is noted; see `o rollout status`")


def _find(api: ControlApi, rollout_id: str | None, lineage: str) -> dict[str, Any]:
    if rollout_id is not None:
        found: dict[str, Any] = api.get(f"/o/v1/rollouts/{rollout_id}")
        return found
    rollouts: list[dict[str, Any]] = api.get("/o/v1/rollouts", lineage=lineage)
    if not rollouts:
        raise NotFoundError(
            f"the lineage {lineage!r} has no rollout yet; start one with `o rollout start VARIANT`"
        )
    return rollouts[0]


def _watch(api: ControlApi, rollout_id: str) -> None:
    """Print events until the rollout is finished."""
    seen = 0
    while True:
        finished = api.get(f"/o/v1/rollouts/{rollout_id}")["finished_at"] is not None
        events = api.get(f"/o/v1/rollouts/{rollout_id}/events")
        for event in events[seen:]:
            _say_event(event)
        seen = len(events)
        if finished:
            return
        time.sleep(_WATCH_S)


def _say_event(event: dict[str, Any]) -> None:
    gate = event["gate"] or ""
    say(f"  {event['at'][11:19]}  {event['state']:<12} {gate:<9} {event['message']}")


def _gate(rollout: dict[str, Any]) -> str:
    return f" ({rollout['gate']})" if rollout["gate"] else ""


def _share(permille: int) -> str:
    return f"{permille / 10:g} %"
