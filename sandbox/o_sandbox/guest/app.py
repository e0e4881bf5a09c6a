"""The program in the component: imports what tools may use, then waits for its one call.

Runs under the CPython of componentize-py, never on the host. Everything imported here is frozen
into the component's memory image, so an import costs a tool nothing. One instance serves one call:
a tool may change whatever it likes in here, for itself alone. The reply is therefore worth no more
than the tool's word, and the host treats it so.
"""

import gc
import json

import stdlib

UNAVAILABLE = stdlib.import_all()

import jinja2  # noqa: E402, F401
import yaml  # noqa: E402, F401
from dateutil import parser, relativedelta, rrule, tz  # noqa: E402, F401

import call  # noqa: E402
import files  # noqa: E402
import heap  # noqa: E402
import models  # noqa: E402
import world  # noqa: E402
import wit_world  # noqa: E402

world.furnish(UNAVAILABLE)
files.furnish()
models.furnish()


class WitWorld(wit_world.WitWorld):
    """The exports of the component."""

    def run(self, request):
        """Run one tool; the reply is JSON text."""
        return call.answer(request)

    def compile(self, name, code):
        """A tool's bytecode as base64."""
        return call.compiled(name, code)

    def rehearse(self, request):
        """Answer a request of nobody's, so that the next call finds the memory it needs at hand."""
        return call.rehearse(self.run, request, _CODE, _COMPILED)


def _take_every_path():
    """So often that the interpreter has settled how it runs them."""
    code = "def double(x):\n    print(x)\n    return x * 2\nasync def wait():\n    return 1 / 0\n"
    compiled, run = call.compiled("rehearsal", code), WitWorld().run
    for _ in range(40):
        for function, args in (("double", {"x": 21}), ("wait", {})):
            request = json.dumps(
                {"name": "rehearsal", "function": function, "args": args, "seed": "0", "path": []}
            )
            call.rehearse(run, request, code)
            call.rehearse(run, request, code, compiled)


_CODE = "def double(x):\n    return x * 2\n"
_COMPILED = call.compiled("rehearsal", _CODE)
call.EMIT = lambda channel, text: None
call.open_streams()
_take_every_path()
call.open_streams()
call.leave_seeding_to_calls()
call.EMIT = wit_world.emit
gc.collect()
FILLED = heap.closed()
OBJECTS = heap.objects()
MARKED = heap.marked(OBJECTS)
gc.freeze()
gc.set_threshold(20000, 20, 20)
