"""Asks starting children whether they are ready, often at first and then less."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from dataclasses import dataclass

from o_platform.supervisor.probe import TRY_TIMEOUT_S, Try, pause_s, start_try
from o_platform.supervisor.spec import Probe


@dataclass(slots=True)
class _Asking:
    pid: int
    probe: Probe
    since: float
    next_at: float
    """When to try again; or when to give the current try up."""
    current: Try | None = None


class Readiness:
    """The probes under way."""

    def __init__(
        self, selector: selectors.BaseSelector, on_ready: Callable[[str, int], None]
    ) -> None:
        """`on_ready` takes the child's name and process id."""
        self._selector = selector
        self._on_ready = on_ready
        self._asking: dict[str, _Asking] = {}

    def ask(self, name: str, pid: int, probe: Probe, now: float) -> None:
        """Begin to ask."""
        self.forget(name)
        self._asking[name] = _Asking(pid, probe, since=now, next_at=now)

    def forget(self, name: str) -> None:
        """Ask no more."""
        asking = self._asking.pop(name, None)
        if asking is not None:
            self._give_up(asking)

    def next_at(self) -> float | None:
        """When `poll` has something to do."""
        return min((asking.next_at for asking in self._asking.values()), default=None)

    def poll(self, now: float) -> None:
        """Make the tries that are due."""
        for name, asking in list(self._asking.items()):
            if asking.next_at <= now:
                self._give_up(asking)
                self._try(name, asking, now)

    def _try(self, name: str, asking: _Asking, now: float) -> None:
        current = start_try(asking.probe)
        asking.next_at = now + pause_s(asking.probe.kind, now - asking.since)
        if current.ready:
            self._settle(name, asking)
        elif current.connection is not None:
            asking.current = current
            asking.next_at = now + TRY_TIMEOUT_S
            self._selector.register(
                current.connection,
                selectors.EVENT_READ,
                lambda _mask: self._answered(name, asking, current, now),
            )

    def _answered(self, name: str, asking: _Asking, current: Try, asked_at: float) -> None:
        if current.connection is None:
            return
        current.read()
        if current.ready is None:
            return
        self._selector.unregister(current.connection)
        current.close()
        asking.current = None
        asking.next_at = asked_at + pause_s(asking.probe.kind, asked_at - asking.since)
        if current.ready:
            self._settle(name, asking)

    def _settle(self, name: str, asking: _Asking) -> None:
        self._asking.pop(name, None)
        self._on_ready(name, asking.pid)

    def _give_up(self, asking: _Asking) -> None:
        if asking.current is not None and asking.current.connection is not None:
            self._selector.unregister(asking.current.connection)
            asking.current.close()
        asking.current = None
