"""What the policy of the tier `restricted` lets through and what it stops."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from o_sandbox.restricted.guest import Guest
from o_sandbox.worker import wire

pytestmark = pytest.mark.unit


class _Host:
    """Answers host calls with the name called, in capitals."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def receive(self) -> wire.Answer:
        called = self.sent[-1]
        if called.name == "broken":
            return wire.Answer(error="it is broken")
        return wire.Answer(json.dumps(called.name.upper()).encode())


def _done(
    source: str,
    *,
    output_bytes: int = 10_000,
    grants: tuple[str, ...] = (),
    host_calls: int = 3,
    host: _Host | None = None,
) -> wire.Done:
    start = wire.Start(
        textwrap.dedent(source), "f", b"{}", 7, 5.0, 1 << 28, output_bytes, host_calls,
        list(grants),
    )  # fmt: skip
    return Guest(host or _Host()).run(start)


def _value(source: str, **options: Any) -> Any:
    done = _done(source, **options)
    assert done.reason == "ok", done.error
    return json.loads(done.value)


def _error(source: str, **options: Any) -> str:
    done = _done(source, **options)
    assert done.reason == "error", done
    return done.error


ESCAPES = {
    "CVE-2023-37271: frames of generators": """
        def f():
            g = (g.gi_frame.f_back for _ in [1])
            return [x for x in g]
    """,
    "CVE-2023-37271: by getattr": """
        def f():
            g = (x for x in [1])
            return getattr(getattr(g, 'gi_' + 'frame'), 'f_back')
    """,
    "CVE-2023-41039: str.format": "def f():\n    return '{0.__class__}'.format(f)",
    "CVE-2023-41039: format_map": "def f():\n    return '{x.__class__}'.format_map({'x': f})",
    "CVE-2023-41039: on the class": "def f():\n    return str.format('{0.__class__}', f)",
    "CVE-2023-41039: on a subclass": """
        class Text(str):
            a = 1
        def f():
            return getattr(Text('{0.__class__}'), 'format')(f)
    """,
    "CVE-2024-47532: the subject of an error": """
        import json
        def f():
            try:
                json.missing
            except AttributeError as error:
                return str(error.obj)
    """,
    "CVE-2024-47532: names of string": "import string\ndef f():\n    return str(string.re)",
    "CVE-2025-22153: except*": """
        def f():
            try:
                raise ExceptionGroup('x', [ValueError()])
            except* ValueError:
                return 1
    """,
    "CVE-2026-55830: positional-only names": """
        def f():
            def inner(_getattr_, /):
                return ().real
            return inner(lambda o, n: o)
    """,
    "CVE-2026-76825: string.Formatter": """
        import string
        def f():
            return string.Formatter().format('{0.__class__}', f)
    """,
    "CVE-2026-76825: operator.attrgetter": """
        from operator import attrgetter
        def f():
            return str(attrgetter('__class__')(f))
    """,
    "CVE-2026-53710: a raw getattr": "def f():\n    return str(getattr((), '__class__'))",
    "CVE-2026-53710: hidden in a default": """
        def f():
            return str(getattr((), '__class__', 1))
    """,
    "CVE-2026-53710: a name that only looks like a string": """
        class Name(str):
            a = 1
        def f():
            return str(getattr((), Name('__class__')))
    """,
    "a module through another": "import json\ndef f():\n    return str(json.decoder)",
    "import of os": "import os\ndef f():\n    return os.getcwd()",
    "relative import": "from . import x\ndef f():\n    return 1",
    "names of the guards": "def f():\n    return str(_getattr_)",
    "rebinding a guard": "_write_ = 1\ndef f():\n    return 1",
    "import as a guard": "import json as _getattr_\ndef f():\n    return 1",
    "changing a shared class": "from collections import Counter\ndef f():\n    Counter.get = 1",
    "changing a facade": "import json\ndef f():\n    json.dumps = 1",
    "setattr on a shared class": """
        from collections import deque
        def f():
            setattr(deque, 'append', 1)
    """,
    "setattr of a dunder": """
        class A:
            b = 1
        def f():
            setattr(A, '__getattribute__', lambda s, n: 1)
    """,
    "eval": "def f():\n    return eval('1')",
    "exec": "def f():\n    return exec('1')",
    "open": "def f():\n    return open('/etc/passwd').read()",
    "id": "def f():\n    return id(1)",
    "type": "def f():\n    return type('A', (), {})",
    "metaclass": "class A(metaclass=int):\n    b = 1\ndef f():\n    return 1",
    "the clock": "import datetime\ndef f():\n    return str(datetime.datetime.now())",
    "the clock of a subclass": """
        from datetime import date
        class D(date):
            b = 1
        def f():
            return str(D.today())
    """,
    "async": "async def f():\n    return 1",
    "nonlocal": "def f():\n    x = 1\n    def g():\n        nonlocal x\n    return g()",
}  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES)
def test_refuses(name: str) -> None:
    assert _error(ESCAPES[name])


def test_ordinary_tools_work() -> None:
    assert _value("""
        from __future__ import annotations
        import json, re, math
        from collections import Counter
        from typing import Optional, TypedDict
        from o_agent.sdk import tool

        class Row(TypedDict):
            name: str

        class Total:
            count: int = 0

            def __init__(self, start: int) -> None:
                self.count = start

            def add(self, n: int) -> None:
                self.count += n

        @tool
        def f(text: str = "b a b", limit: Optional[int] = None) -> dict[str, int]:
            seen: dict[str, int] = {}
            for word in re.split(r"\\s+", text):
                seen[word] = seen.get(word, 0)
                seen[word] += 1
            total = Total(1)
            total.add(2)
            (a, b), *rest = [(1, 2), 3, 4]
            try:
                1 / 0
            except:
                rest.append(5)
            return {
                "seen": seen, "counted": dict(Counter(text.split())), "total": total.count,
                "rest": rest, "json": json.loads(json.dumps({"x": [1.5, None]})),
                "big": 2 ** 100, "set": sorted({3, 1}), "text": f"{math.pi:.2f}",
            }
    """) == {
        "seen": {"b": 2, "a": 1}, "counted": {"b": 2, "a": 1}, "total": 3, "rest": [3, 4, 5],
        "json": {"x": [1.5, None]}, "big": 2**100, "set": [1, 3], "text": "3.14",
    }  # fmt: skip


def test_in_place_changes_evaluate_their_target_once() -> None:
    assert _value("""
        calls = []
        def at(k):
            calls.append(k)
            return k
        def f():
            d = {1: 10}
            d[at(1)] += 5
            return [d, calls]
    """) == [{"1": 15}, [1]]


def test_random_is_repeatable_and_the_next_call_starts_anew() -> None:
    source = "import random\ndef f():\n    return [random.random(), random.randint(1, 9)]"
    assert _value(source) == _value(source)


def test_globals_do_not_outlive_a_call() -> None:
    guest = Guest(_Host())
    source = "seen = []\ndef f():\n    seen.append(1)\n    return len(seen)"
    start = wire.Start(source, "f", b"{}", 7, 5.0, 1 << 28, 1000, 0, [])
    assert [guest.run(start).value for _ in range(3)] == [b"1", b"1", b"1"]


def test_host_calls_go_through_grants_alone() -> None:
    call = "import o\ndef f():\n    return o.call('a.b', x=1)"
    assert _value(call, grants=("a.b",)) == "A.B"
    hidden = """
        import o
        def f():
            try:
                o.call('a.b')
            except Exception:
                return 'caught'
            finally:
                return 'hidden'
    """
    done = _done(hidden)
    assert (done.reason, done.value) == ("denied", b"null")
    assert "`a.b` and has no grant" in done.error
    many = "import o\ndef f():\n    return [o.call('a.b') for _ in range(9)]"
    assert _done(many, grants=("a.b",), host_calls=3).reason == "denied"


def test_a_capability_that_fails_is_an_error_the_guest_may_handle() -> None:
    source = """
        import o
        def f():
            try:
                o.call('broken')
            except o.HostError as error:
                return str(error)
    """
    assert _value(source, grants=("broken",)) == "it is broken"


def test_output_ends_at_its_limit_whatever_the_guest_catches() -> None:
    source = """
        def f():
            for _ in range(1000):
                try:
                    print('x' * 50)
                except Exception:
                    continue
            return 'went on'
    """
    host = _Host()
    done = _done(source, output_bytes=120, host=host)
    assert (done.reason, sum(len(sent.text) for sent in host.sent)) == ("output", 120)
    assert _done("def f():\n    return 'x' * 500", output_bytes=120).reason == "output"


def test_an_error_has_the_lines_of_the_tool_and_no_others() -> None:
    said = _error("def g():\n    return 1 / 0\n\ndef f():\n    return g()")
    assert said.splitlines() == [
        "Traceback (most recent call last):",
        '  File "<tool>", line 5, in f',
        "    return g()",
        '  File "<tool>", line 2, in g',
        "    return 1 / 0",
        "ZeroDivisionError: division by zero",
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def g():\n    return 1", "defines no function 'f'"),
        ("def f(x):\n    return x", "missing 1 required positional argument"),
        ("def f(:", "Line 1"),
        ("def f():\n    return {(1, 2): 3}", "keys must be str"),
        ("def f():\n    return float('nan')", "not JSON compliant"),
        ("def f():\n    x = []\n    x.append(x)\n    return x", "Circular"),
    ],
)
def test_says_what_is_wrong(source: str, said: str) -> None:
    assert said in _error(source)
