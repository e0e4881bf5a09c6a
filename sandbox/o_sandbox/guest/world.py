"""What a tool finds here besides the standard library: the module `o`, and time that stands still.

`o.call("http.fetch", url=…)` and `o.http.fetch(url=…)` are the same call of the host. A call that
the host could not do raises `o.HostError`; one that was not granted ends the tool. Nothing here can
block: `time.sleep` and `asyncio` wait by the host call `o.sleep`, which has to be granted.
"""

import asyncio
import json
import sys
import time
import types

import agent_state
import call
import wit_world
from componentize_py_types import Err


class HostError(Exception):
    """The host could not do what it was asked."""


_dumps, _loads, _host_call = json.dumps, json.loads, wit_world.host_call


def host_call(name, /, **arguments):
    """Call a capability of the host; what it answers."""
    call.flush()
    try:
        return _loads(_host_call(name, _dumps(arguments, default=call.plain)))
    except Err as refused:
        said = refused.value
    raise HostError(said)


def sleep(seconds, /):
    """Wait; needs the grant `o.sleep`."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    host_call("o.sleep", seconds=seconds)


class _Capabilities:
    """`o.memory.insert` for `o.call("memory.insert")`."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _Capabilities(f"{self._name}.{name}")

    def __call__(self, **arguments):
        return host_call(self._name, **arguments)


class _NothingToWatch:
    """In place of a selector: there are no sockets, so all that can happen is that time passes."""

    def select(self, timeout):
        if timeout is None:
            raise RuntimeError("all tasks wait for something that can never happen in here")
        if timeout > 0:
            sleep(timeout)
        return []


class EventLoop(asyncio.BaseEventLoop):
    """An event loop without input or output."""

    def __init__(self):
        super().__init__()
        self._selector = _NothingToWatch()

    def _process_events(self, event_list):
        pass

    def _write_to_self(self):
        pass


class _Policy(asyncio.events._AbstractEventLoopPolicy):
    _loop = None

    def get_event_loop(self):
        return self._loop or self.new_event_loop()

    def set_event_loop(self, loop):
        self._loop = loop

    def new_event_loop(self):
        return EventLoop()


def _tool(function=None, /, **_options):
    """`@tool` and `@tool(tier=…)`: what they say was read when the tool was registered."""
    return _same if function is None else function


def _when(_condition, /):
    return _same


def _same(function):
    return function


def furnish(unavailable):
    """Make the modules `o` and `o_agent.sdk`, and put waiting in the host's hands."""
    module = types.ModuleType("o", "What the host offers to this tool.")
    module.call, module.sleep = host_call, sleep
    module.HostError = HostError
    module.unavailable = types.MappingProxyType(unavailable)
    for name in ("agent", "archive", "http", "llm", "memory", "scratch", "secrets"):
        setattr(module, name, _Capabilities(name))
    module.agent_state = lambda: agent_state.AgentState(host_call)
    HostError.__module__ = "o"
    sys.modules["o"] = module
    sys.modules["o_agent"] = types.ModuleType("o_agent")
    sdk = sys.modules["o_agent.sdk"] = types.ModuleType("o_agent.sdk")
    sdk.tool, sdk.when = _tool, _when
    time.sleep = sleep
    asyncio.events._set_event_loop_policy(_Policy())
