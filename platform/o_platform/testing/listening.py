"""Ending a server of asyncio without losing what it has just accepted."""

from __future__ import annotations

import asyncio


async def close_server(server: asyncio.Server) -> None:
    """Stop listening; connections go on.

    A connection whose transport is made after `close` is neither served nor closed (CPython 3.11),
    so what was accepted gets its transport first.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    await asyncio.sleep(0)
    server.close()
