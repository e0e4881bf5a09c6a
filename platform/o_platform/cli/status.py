"""`o status`: the supervisor's processes and the control plane's view, as far as either answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from o_platform.cli.control_api import ControlApi
from o_platform.cli.terminal import (
    ago,
    duration,
    megabytes,
    print_json,
    print_table,
    say,
    short_digest,
    warn,
)
from o_platform.errors import OError
from o_platform.settings import Settings
from o_platform.supervisor.client import SupervisorClient, SupervisorDownError

_DEATHS_SHOWN = 5


def show(settings: Settings, *, as_json: bool) -> bool:
    """Print the status; whether the platform runs."""
    try:
        supervisor: dict[str, Any] | None = _supervisor(settings)
    except SupervisorDownError:
        supervisor = None
    control, problem = _control(settings) if supervisor else (None, None)
    if as_json:
        print_json({"supervisor": supervisor, "control": control, "problem": problem})
    elif supervisor is None:
        say("the platform does not run; start it with `o up`")
        _say_last_words(settings)
    else:
        _show_supervisor(supervisor)
        _show_control(control, problem)
    return supervisor is not None


def _supervisor(settings: Settings) -> dict[str, Any]:
    client = SupervisorClient(settings.run / "supervisor.sock")
    deaths = [event for event in client.events(tail=200) if event["kind"] == "died"]
    return client.status() | {"deaths": deaths[-_DEATHS_SHOWN:]}


def _control(settings: Settings) -> tuple[dict[str, Any] | None, str | None]:
    try:
        return ControlApi(settings.run / "control.sock").get("/o/v1/status"), None
    except OError as error:
        return None, error.message


def _show_supervisor(supervisor: dict[str, Any]) -> None:
    say(
        f"{supervisor['mode']} for {duration(supervisor['uptime_s'])}, supervisor is process "
        f"{supervisor['pid']} ({megabytes(supervisor['rss_bytes'])})\n"
    )
    rows = (
        (c["name"], c["phase"], c["pid"], duration(c["uptime_s"]), c["restarts"],
         megabytes(c["rss_bytes"]), c["last_exit"])
        for c in supervisor["children"]
    )  # fmt: skip
    print_table(("process", "state", "pid", "up", "restarts", "memory", "last end"), rows)
    for event in supervisor["deaths"]:
        typer.secho(f"  {event['at'][:19]}Z  {event['message']}", dim=True)


def _show_control(control: dict[str, Any] | None, problem: str | None) -> None:
    if control is None:
        warn(f"control plane: {problem}")
        return
    say()
    lineages = (
        (one["name"], f"{one['key']:08x}", short_digest(one["stable_variant"]))
        for one in control["lineages"]
    )
    print_table(("lineage", "key", "stable variant"), lineages)
    say()
    instances = (
        (i["id"], i["role"], i["status"], i["lineage"], short_digest(i["variant"]), i["runtime"],
         ago(i["created_at"]), i["detail"])
        for i in control["instances"]
    )  # fmt: skip
    print_table(
        ("instance", "role", "status", "lineage", "variant", "in", "since", "note"), instances
    )
    say()
    rollouts = (
        (r["id"], short_digest(r["variant"]), r["state"], f"{r['weight_permille'] / 10:g} %")
        for r in control["rollouts"]
    )
    print_table(("rollout under way", "variant", "state", "traffic"), rollouts)
    if not control["healthy"]:
        warn(f"not healthy yet: waiting for {', '.join(control['coming']) or 'something'}")


def _say_last_words(settings: Settings) -> None:
    event = _last_event(settings.home / "log" / "events.jsonl")
    if event is not None:
        say(f"last: {event['message']} ({ago(event['at'])})")


def _last_event(path: Path) -> dict[str, Any] | None:
    try:
        lines = path.read_bytes().splitlines()
        event: dict[str, Any] = json.loads(lines[-1])
    except (OSError, IndexError, ValueError):
        return None
    return event
