"""Grants of a tool as its row spells them: `http.fetch:example.org`, `secrets.use:NAME`, `o.sleep`.

| grant | what it gives |
|---|---|
| `http.fetch:DOMAIN` | requests to that host, with `*.DOMAIN` to all below it, with `*` to any |
| `secrets.use:NAME` | that secret of the agent, in requests of `http.fetch` |
| `agent.read` | what the agent is: id, name, description, instructions, tags, metadata |
| `memory.read`, `memory.write` | the agent's blocks |
| `archive.insert`, `archive.search` | its archival memory |
| `llm.complete` | the agent's model, within the variant's budget |
| `o.sleep`, `scratch` | waiting, and a folder; given by the sandbox itself |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from o_platform.tooling.fetch import FetchPolicy

FETCH: Final = "http.fetch"
SECRET: Final = "secrets.use"  # noqa: S105 - the name of a grant
LOCAL: Final = frozenset({"o.sleep", "scratch"})
PLAIN: Final = frozenset(
    {
        "agent.read",
        "memory.read",
        "memory.write",
        "archive.insert",
        "archive.search",
        "llm.complete",
    }
)
WITH_DETAIL: Final = frozenset({FETCH, SECRET})
GENOME: Final = frozenset({*LOCAL, "memory.read", "archive.search"})
"""What a genome may give its own tools. The rest is the operator's to give: permissions are no
genes."""


class SecretError(Exception):
    """A secret cannot be used; the text is for the tool."""


def unknown_grants(grants: Iterable[str]) -> list[str]:
    """Those that mean nothing here."""
    return [grant for grant in grants if not _is_known(grant)]


def named(grants: Iterable[str]) -> set[str]:
    """What the grants let a tool call."""
    return {grant.partition(":")[0] for grant in grants}


def fetch_policy(grants: Iterable[str], secrets: Mapping[str, str]) -> FetchPolicy:
    """What a tool with these grants may fetch, and with which of the agent's secrets."""
    pairs = [grant.partition(":") for grant in grants]
    domains = [detail for name, _, detail in pairs if name == FETCH]
    allowed = {detail for name, _, detail in pairs if name == SECRET}
    return FetchPolicy(domains, {name: secrets[name] for name in allowed if name in secrets})


def placeholder(arguments: Mapping[str, Any], grants: Iterable[str], known: Iterable[str]) -> str:
    """What stands for a secret in a request, as `secrets.use` gives it to a tool.

    Args:
        arguments: the tool's: `name`.
        grants: the tool's.
        known: names of the agent's secrets.

    Raises:
        SecretError: it is not granted, or the agent has none of that name.
    """
    name = str(arguments.get("name"))
    if f"{SECRET}:{name}" not in grants:
        raise SecretError(f"the secret {name!r} is not granted to this tool; grant `{SECRET}:NAME`")
    if name not in known:
        raise SecretError(f"this agent has no secret {name!r}; set it in the agent's `secrets`")
    return f"{{{{secret:{name}}}}}"


def _is_known(grant: str) -> bool:
    name, _, detail = grant.partition(":")
    if name in WITH_DETAIL:
        return bool(detail)
    return not detail and name in LOCAL | PLAIN
