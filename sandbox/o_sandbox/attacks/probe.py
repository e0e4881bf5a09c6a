"""A clean call: what it gives after an attack shows whether the attack outlived its own call.

Besides values that attacks like to spoil, tiers with a whole Python report the interpreter's state
(hooks, filters, paths, handlers, limits), which must be the same at every call.
"""

from __future__ import annotations

import json
from typing import Any, Final

from o_sandbox.limits import Limits
from o_sandbox.tool import Tier, Tool

LIMITS: Final = Limits(wall_s=10.0, cpu_s=5.0, memory_bytes=96 * 1024 * 1024)
"""Ample, since a new guest may have to be made first."""

_PYTHON: Final = '''
import json
import math

def probe(n, residue):
    """Use what attacks like to spoil."""
    numbers = [n, 3, 1, 2]
    text = json.dumps({"b": [n, True, None], "a": "u"}, sort_keys=True)
    try:
        leftover = poison
    except NameError:
        leftover = "none"
    print("probe", n)
    return {
        "sum": sum(numbers), "sorted": sorted(numbers), "length": len(residue) > 20,
        "text": text, "parsed": json.loads(text)["b"], "root": math.sqrt(16.0),
        "kind": isinstance(n, int), "str": str(n) + "!", "range": list(range(3)),
        "upper": "o".upper(), "round": round(2.5), "leftover": leftover,
    }
'''

_STATE: Final = '''
import codecs, collections, copyreg, decimal, gc, linecache, numbers, os, random, re, signal, sys
import threading, warnings

simple = probe

def probe(n, residue):
    """The simple probe, and the state of the interpreter."""
    found = simple(n, residue)
    found["state"] = {
        "hooks": [sys.gettrace() is None, sys.getprofile() is None, sys.excepthook.__module__,
                  len(sys.meta_path), len(sys.path_hooks), sys.path, len(gc.callbacks)],
        "limits": [sys.getrecursionlimit(), sys.get_int_max_str_digits(), gc.get_threshold()],
        "process": [os.getcwd(), sorted(os.environ), threading.active_count()],
        "handlers": [str(signal.getsignal(s)) for s in (signal.SIGTERM, signal.SIGINT)],
        "shared": [len(warnings.filters), decimal.getcontext().prec, len(copyreg.dispatch_table),
                   collections.Counter("aab").most_common(1), str(codecs.lookup_error("strict")),
                   re.sub("a+", "b", "caat"), issubclass(str, numbers.Number),
                   random.random() != random.random(), len(linecache.cache.get("<tool>", "")),
                   len(vars(json)), len(vars(math))],
    }
    return found
'''

_JAVASCRIPT: Final = """
function probe({n, residue}) {
  const leftover = typeof poison === "undefined" ? "none" : poison;
  return {sum: [n, 3, 1, 2].reduce((a, b) => a + b), text: JSON.stringify({a: [n, true, null]}),
          length: residue.length > 20, leftover};
}
"""


class Probe:
    """The clean call of one lane: remembers the state that the first one found."""

    def __init__(self, tier: Tier) -> None:
        """Nothing is remembered yet."""
        self.tool = _tool(tier)
        self._tier = tier
        self._state: object = None

    def accepts(self, n: int, value: object) -> bool:
        """Whether `value` is what the clean call gives for `n`, an integer above 3."""
        if not isinstance(value, dict):
            return False
        found = dict(value)
        state = json.dumps(found.pop("state", None), sort_keys=True)
        if self._state is None:
            self._state = state
        return found == _expected(self._tier, n) and state == self._state


def _tool(tier: Tier) -> Tool:
    if tier == "module":
        return Tool("probe", _JAVASCRIPT, language="javascript", tier="module")
    return Tool("probe", _PYTHON if tier == "restricted" else _PYTHON + _STATE, tier=tier)


def _expected(tier: Tier, n: int) -> dict[str, Any]:
    if tier == "module":
        text = f'{{"a":[{n},true,null]}}'
        return {"sum": n + 6, "text": text, "length": True, "leftover": "none"}
    text = json.dumps({"b": [n, True, None], "a": "u"}, sort_keys=True)
    return {
        "sum": n + 6, "sorted": [1, 2, 3, n], "length": True,
        "text": text, "parsed": [n, True, None], "root": 4.0,
        "kind": True, "str": f"{n}!", "range": [0, 1, 2],
        "upper": "O", "round": 2, "leftover": "none",
    }  # fmt: skip
