"""What payloads are granted: enough to abuse, nothing that reaches the host.

`attack.echo` gives back its arguments, `attack.refuse` refuses, `attack.wait` never answers, and
`scratch` gives a folder of one MiB where a tier has one. The
names `secrets.use`, `http.fetch`, `memory.read` and `llm.complete` are not granted: payloads that
call them must be denied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from o_sandbox.protocol import SCRATCH, Grants, HostCallError


async def _echo(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return dict(arguments)


async def _refuse(arguments: Mapping[str, Any]) -> None:
    raise HostCallError(f"refused: {len(arguments)} arguments")


async def _wait(arguments: Mapping[str, Any]) -> None:
    await asyncio.Event().wait()


GRANTS: Final[Grants] = {
    "attack.echo": _echo, "attack.refuse": _refuse, "attack.wait": _wait, SCRATCH: _refuse,
}  # fmt: skip
