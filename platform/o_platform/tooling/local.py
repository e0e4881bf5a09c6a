"""Capabilities of a tool that runs without a turn: waiting, a scratch folder, fetching."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from o_platform.tooling.fetch import Fetcher, FetchError
from o_platform.tooling.grants import (
    FETCH,
    LOCAL,
    SECRET,
    SecretError,
    fetch_policy,
    named,
    placeholder,
)
from o_sandbox.protocol import HostCallError, HostFunction

LOCAL_GRANTS: Final = LOCAL | {FETCH, SECRET}
"""What can be used outside of turns."""


def local_grants(
    grants: Iterable[str], secrets: Mapping[str, str], fetcher: Fetcher
) -> dict[str, HostFunction]:
    """The functions that stand behind a tool's grants, of those in `LOCAL_GRANTS`.

    Args:
        grants: as the tool's row spells them.
        secrets: values by name, of which a tool gets only what it is granted.
        fetcher: makes its requests.
    """
    given = list(grants)
    wanted = named(given)
    made: dict[str, HostFunction] = {}
    if "o.sleep" in wanted:
        made["o.sleep"] = _sleep
    if "scratch" in wanted:
        made["scratch"] = _nothing
    if SECRET in wanted:

        async def use(arguments: Mapping[str, Any]) -> str:
            try:
                return placeholder(arguments, given, secrets)
            except SecretError as error:
                raise HostCallError(str(error)) from None

        made[SECRET] = use
    if FETCH in wanted:
        policy = fetch_policy(given, secrets)

        async def fetch(arguments: Mapping[str, Any]) -> Any:
            try:
                return await fetcher.fetch(arguments, policy)
            except FetchError as error:
                raise HostCallError(str(error)) from None

        made[FETCH] = fetch
    return made


async def _sleep(arguments: Mapping[str, Any]) -> None:
    seconds = arguments.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise HostCallError(f"o.sleep takes seconds from 0 on, not {seconds!r}")
    await asyncio.sleep(seconds)


async def _nothing(_: Mapping[str, Any]) -> None:
    """A folder is given by the sandbox; there is nothing to call."""
