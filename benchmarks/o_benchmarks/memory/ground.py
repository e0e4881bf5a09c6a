"""A migrated database with agents in it, and how much CPU time its server process takes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import psycopg

from o_contracts.ids import new_agent_id
from o_platform.db.migrate import upgrade
from o_platform.db.sealing import KEY_BYTES, Key, Vault

_TICK_US: Final = 1e6 / os.sysconf("SC_CLK_TCK")
_AGENTS: Final = """
INSERT INTO agents (id, lineage, name, agent_type, system, model, model_settings, embedding, tools,
  tool_rules, tags)
SELECT id, 'default', 'bench', 'letta_v1_agent', '', 'o/echo', '{}', 'o/hash', '{}', '[]', '{}'
FROM unnest(%s::text[]) AS id
"""


def new_vault() -> Vault:
    """A vault with a key of its own."""
    return Vault([Key(secrets.token_bytes(KEY_BYTES))])


def prepared(url: str, agents: int) -> list[str]:
    """Migrate the database and put agents into it; their ids."""
    upgrade(url)
    ids = [new_agent_id(1) for _ in range(agents)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO lineages (name, key) VALUES ('default', 1)")
        connection.execute(_AGENTS, (ids,))
    return ids


def cpu_us(pid: int) -> float:
    """CPU time of a process so far, in microseconds (to the clock's tick)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_US
