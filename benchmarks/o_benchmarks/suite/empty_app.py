"""An ASGI app that does nothing, on the very server that instances use.

`python -m o_benchmarks.suite.empty_app SOCKET NAME` listens on the socket until SIGTERM and answers
every request with NAME: the floor below which no turn behind this Envoy can cost.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvloop
from uvicorn import Config, Server

from o_agent.http_server import InstanceHttpProtocol
from o_agent.worker import BACKLOG

Event = MutableMapping[str, Any]


class EmptyApp:
    """Reads a request and answers with a name."""

    def __init__(self, name: str) -> None:
        """`name` is the whole answer."""
        self._body = name.encode()
        self._headers = [
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % len(self._body)),
        ]

    async def __call__(
        self,
        scope: Event,
        receive: Callable[[], Awaitable[Event]],
        send: Callable[[Event], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        while (await receive()).get("more_body"):
            continue
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


def main() -> None:
    """Serve until told to stop."""
    socket, name = sys.argv[1:]
    config = Config(
        EmptyApp(name),
        uds=socket,
        http=InstanceHttpProtocol,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Server(config).serve())


if __name__ == "__main__":
    main()
