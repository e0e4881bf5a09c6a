"""Changes of an agent's own columns, made and answered by one statement.

It raises the agent's version and announces it, as every change of what a context is made of does.
What has to be looked up, or is in other tables too, is changed in a unit of work instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from o_platform.agents.agent_views import DOCUMENT, JOINED
from o_platform.agents.inputs import AgentChanges
from o_platform.db.engine import CHANNEL_AGENTS, Value
from o_platform.db.line import Statement, statement

_OWN: Final = {
    "name": "name = {}",
    "system": "system = {}",
    "model": "model = {}",
    "model_settings": "model_settings = {}::jsonb",
    "description": "description = {}",
    "timezone": "timezone = {}",
    "tool_rules": "tool_rules = {}::jsonb",
    "tags": "tags = {}::text[]",
    "meta": "metadata = {}::jsonb",
    "config": "config = r.config || {}::jsonb",
    "last_run_at": "last_run_at = {}::timestamptz",
    "last_run_ms": "last_run_ms = {}::float8",
    "last_stop_reason": "last_stop_reason = {}",
}
"""How each is set to a value."""


def is_of_own_columns(changes: AgentChanges) -> bool:
    """Whether `own_update` can make these changes."""
    return changes.keys() <= _OWN.keys() and "enable_sleeptime" not in changes.get("config", {})


def own_update(agent_id: str, changes: AgentChanges) -> tuple[Statement, Sequence[Value]]:
    """The statement that makes these changes and answers with the agent's document, and its values.

    It answers with nothing if there is no such agent.
    """
    settings = ["version = r.version + 1", "updated_at = now()"]
    values: list[Value] = [agent_id]
    for name, value in changes.items():
        values.append(_value(_OWN[name], value))
        settings.append(_OWN[name].format(f"${len(values)}"))
    text = (
        f"WITH changed AS (UPDATE agents AS r SET {', '.join(settings)} WHERE r.id = $1 "  # noqa: S608
        f"RETURNING r.*) SELECT ({DOCUMENT})::text, pg_notify('{CHANNEL_AGENTS}', r.id) "
        f"FROM changed AS r{JOINED}"
    )
    return statement(text), values


def _value(setting: str, value: Any) -> Value:
    if value is None or "text[]" in setting:
        return None if value is None else list(value)
    if "jsonb" in setting:
        return msgspec.json.encode(value).decode()
    return str(value)
