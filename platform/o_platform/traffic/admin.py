"""Envoy's admin interface, over its Unix socket."""

from __future__ import annotations

import json
from typing import Any

import httpx

from o_platform.errors import TrafficError


class EnvoyAdmin:
    """Asks and tells a running Envoy; every call opens its own connection."""

    def __init__(self, socket: str, *, timeout_s: float = 2.0) -> None:
        """`socket` is the admin socket; `timeout_s` bounds every call."""
        self._socket = socket
        self._timeout_s = timeout_s

    async def is_ready(self) -> bool:
        """Whether Envoy is there and serves."""
        try:
            return (await self._call("GET", "/ready", accept=503)).strip() == "LIVE"
        except TrafficError:
            return False

    async def stats(self, pattern: str, *, kind: str = "All") -> dict[str, str]:
        """Statistics whose name matches the regular expression, by name.

        Args:
            pattern: searched in the names.
            kind: `Counters`, `Gauges` or `TextReadouts` look at fewer; there are some hundred
                statistics per cluster.

        Raises:
            TrafficError: Envoy does not answer.
        """
        text = await self._call("GET", "/stats", {"filter": pattern, "type": kind})
        pairs = (line.partition(": ") for line in text.splitlines())
        return {name: value.strip('"') for name, separator, value in pairs if separator}

    async def rejections(self) -> list[str]:
        """Why listeners or clusters of the last update were refused, in Envoy's words.

        Raises:
            TrafficError: Envoy does not answer.
        """
        dump = json.loads(await self._call("GET", "/config_dump"))
        return _error_details(dump)

    async def drain(self) -> None:
        """Stop taking connections and end the idle ones; requests under way go on.

        Raises:
            TrafficError: Envoy does not answer.
        """
        await self._call("POST", "/drain_listeners", {"graceful": "", "skip_exit": ""})

    async def reopen_logs(self) -> None:
        """Open the log files anew, after they were renamed.

        Raises:
            TrafficError: Envoy does not answer.
        """
        await self._call("POST", "/reopen_logs")

    async def _call(
        self, method: str, path: str, query: dict[str, str] | None = None, accept: int = 200
    ) -> str:
        # Without `verify=False` a store of certificates is read each time, for 25 ms.
        transport = httpx.AsyncHTTPTransport(uds=self._socket, verify=False)
        options: dict[str, Any] = {"timeout": self._timeout_s, "trust_env": False}
        try:
            async with httpx.AsyncClient(transport=transport, **options) as client:
                answer = await client.request(method, f"http://envoy{path}", params=query)
        except httpx.HTTPError as error:
            raise TrafficError(
                f"Envoy does not answer on {self._socket} ({error or type(error).__name__}); "
                "see `o status` and `o logs envoy`",
                socket=self._socket,
            ) from error
        if answer.status_code not in (200, accept):
            raise TrafficError(f"Envoy answered {answer.status_code} to {path}: {answer.text}")
        return answer.text


def _error_details(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _error_details(item)]
    if not isinstance(value, dict):
        return []
    state = value.get("error_state")
    own = [str(state["details"])] if isinstance(state, dict) and "details" in state else []
    return own + [text for item in value.values() for text in _error_details(item)]
