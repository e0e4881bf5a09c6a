"""Takes connections and runs what they ask for: a thread each, which blocks and costs nothing."""

from __future__ import annotations

import logging
import os
import resource
import socket
import threading
from typing import Final, Protocol

import msgspec

from o_sandbox.engine.call import Call
from o_sandbox.engine.connection import ClosedError, Connection
from o_sandbox.engine.ending import Ended
from o_sandbox.engine.epochs import Ticker
from o_sandbox.engine.meter import Meter
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.outcome import Outcome
from o_sandbox.wire import Done, FrameError, Run

_PAGE: Final = resource.getpagesize()
_CONNECTIONS: Final = 64
log = logging.getLogger("o_sandbox.engine")


class Guests(Protocol):
    """Runs the calls of one kind of guest."""

    def run(self, call: Call) -> Ended:
        """Run one call on this thread; whatever the guest does is in the result."""


class Server:
    """Serves until the process ends."""

    def __init__(
        self,
        listener: socket.socket,
        guests: Guests,
        settings: EngineSettings,
        ticker: Ticker,
        resident: int,
    ) -> None:
        """`resident`: a descriptor of this process's `/proc/self/statm`, opened before the jail."""
        self._listener, self._guests, self._resident = listener, guests, resident
        self._ticker = ticker
        self._running = threading.BoundedSemaphore(settings.calls)
        self._connected = threading.BoundedSemaphore(_CONNECTIONS)

    def serve(self) -> None:
        """Accept for ever."""
        while True:
            self._connected.acquire()
            peer, _ = self._listener.accept()
            threading.Thread(target=self._attend, args=(peer,), daemon=True).start()

    def _attend(self, peer: socket.socket) -> None:
        connection = Connection(peer)
        try:
            while True:
                self._answer(connection, connection.next_run())
        except ClosedError:
            pass
        except FrameError as error:
            log.warning("a caller sent no proper frame: %s", error)
        finally:
            connection.close()
            self._connected.release()

    def _answer(self, connection: Connection, run: Run) -> None:
        with self._running, self._ticker.watching():
            caller = connection.caller()
            call = Call(run, Meter(run.limits, caller.is_gone, self._resident_bytes), caller)
            try:
                connection.send(_done(self._ended(call), call.meter))
            finally:
                call.leave()

    def _ended(self, call: Call) -> Ended:
        try:
            return self._guests.run(call)
        except Exception:
            # Whatever it is, foreign code brought it about, and would again in the next engine.
            log.exception("the engine failed at the tool %s", call.run.name)
            return Ended("trap", error="the engine could not go on with this tool")

    def _resident_bytes(self) -> int:
        pages = os.pread(self._resident, 128, 0).split()[1]
        return int(pages) * _PAGE


def _done(ended: Ended, meter: Meter) -> Done:
    try:
        value = msgspec.json.encode(ended.value)
    except (RecursionError, ValueError) as error:
        said = f"the tool's value cannot be sent: {error}"
        return Done(Outcome("trap", error=said, used=meter.used()))
    return Done(Outcome(ended.reason, error=ended.error, used=meter.used()), value)
