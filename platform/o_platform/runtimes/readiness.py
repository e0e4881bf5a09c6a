"""When an instance is ready: its socket is there and its own, and `GET /healthz` answers 200.

Asked often at first and less often later; an instance that has ended is given up at once. What
answers is a genome's code, so little is read of it and nothing waited for long.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from o_platform.errors import NotReadyError
from o_platform.runtimes.folders import check_socket
from o_platform.runtimes.protocol import Placement, Runtime

READY_S: Final = 20.0
"""Until a starting instance is given up."""

_HOPELESS: Final = frozenset({64, 78})
"""Exit statuses (`EX_USAGE`, `EX_CONFIG`) of an instance that would end the same way again."""
_RESTARTS: Final = 2
_FIRST_PAUSE_S: Final = 0.005
_LAST_PAUSE_S: Final = 0.05
_ANSWER_S: Final = 1.0
_REQUEST: Final = b"GET /healthz HTTP/1.1\r\nhost: o\r\nconnection: close\r\n\r\n"
_STATUS_LINE_BYTES: Final = 256


async def await_ready(
    runtime: Runtime, placement: Placement, socket: Path, timeout_s: float = READY_S
) -> None:
    """Wait until an instance is ready.

    Raises:
        NotReadyError: it ended, or was not ready in time; says what was seen last.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    pause = _FIRST_PAUSE_S
    earlier: int | None = None
    while (problem := await not_ready_because(socket, runtime.uid)) is not None:
        if pause >= _LAST_PAUSE_S:
            restarts = await _check_alive(runtime, placement, earlier)
            earlier = restarts if earlier is None else earlier
        if loop.time() > deadline:
            raise NotReadyError(f"not ready after {timeout_s:g} s: {problem}")
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE_S)


async def not_ready_because(socket: Path, uid: int) -> str | None:
    """Why the instance that listens on `socket` is not ready; None when it is."""
    try:
        check_socket(socket, uid)
        async with asyncio.timeout(_ANSWER_S):
            status = await _health(socket)
    except NotReadyError as error:
        return error.message
    except TimeoutError:
        return f"GET /healthz did not answer within {_ANSWER_S:g} s"
    except (OSError, ValueError) as error:
        return f"GET /healthz failed: {error}"
    return None if status == b"200" else f"GET /healthz answered {status.decode()}"


async def _health(socket: Path) -> bytes:
    """The status of the answer."""
    reader, writer = await asyncio.open_unix_connection(socket, limit=_STATUS_LINE_BYTES)
    try:
        writer.write(_REQUEST)
        words = (await reader.readline()).split()
    finally:
        writer.close()
    if len(words) < 2 or not words[1].isdigit():
        raise ValueError("the answer is not HTTP")
    return words[1]


async def _check_alive(runtime: Runtime, placement: Placement, earlier: int | None) -> int:
    """Its number of restarts, if there is still hope; `earlier`: what that was at first."""
    state = await runtime.state(placement)
    if state is None:
        raise NotReadyError("it is gone")
    if not state.alive or state.exit_code in _HOPELESS:
        raise NotReadyError(f"it {state}")
    if earlier is not None and state.restarts - earlier >= _RESTARTS:
        raise NotReadyError(f"it ends as often as the engine restarts it: it {state}")
    return state.restarts
