"""The built-in tools that run in a sandbox, in one, against a server of the web on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from o_platform.tooling.fetch import Fetcher
from o_platform.tooling.local import local_grants
from o_sandbox.blocking import BlockingSandbox
from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox
from o_tools.sandboxed import SANDBOXED

pytestmark = pytest.mark.contract
PUBLIC = "93.184.216.34"
PAGE = """<!doctype html><html><head><title>A  page</title><style>b{}</style></head>
<body><h2>Tea &amp; cake</h2><p>Some <b>good</b>
  tea.</p><ul><li>one</li><li><a href="/two?x=1">two</a></li></ul>
<script>if (1 < 2) { alert("no") }</script><pre>a
  b</pre><table><tr><td>1</td><td>2</td></tr></table><a href="#top">up</a></body></html>"""
TEXT = """# A page

## Tea & cake

Some good tea.

- one

- [two](http://site.example/two?x=1)

```
a
  b
```

 | 1 | 2

up"""
FOUND = {"results": [{"title": "Tea", "url": "http://t.example", "publishedDate": "2026-01-01",
                      "author": None, "highlights": ["warm"], "score": 0.5}]}  # fmt: skip


class _Web(BaseHTTPRequestHandler):
    """Every host there is."""

    asked: list[dict[str, Any]]

    def do_GET(self) -> None:
        answers = {
            "/": (200, "text/html; charset=utf-8", PAGE.encode()),
            "/data": (200, "application/json", b'{"a": 1}'),
            "/gone": (404, "text/html", b"<h1>Gone</h1><p>for good</p>"),
            "/picture": (200, "image/png", b"\x89PNG\xff\xfe"),
        }
        self._answer(*answers[self.path])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        key = self.headers.get("x-api-key", "")
        self.asked.append({"host": self.headers["host"], "key": key, **json.loads(body)})
        if key == "right":
            self._answer(200, "application/json", json.dumps(FOUND).encode())
        elif key == "odd":
            self._answer(200, "application/json", b"[]")
        else:
            self._answer(401, "application/json", b'{"error": "invalid key"}')

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Here(httpx.AsyncHTTPTransport):
    """Connects to the server on loopback, whatever the address is."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == PUBLIC
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return await super().handle_async_request(request)


async def _addresses(host: str, port: int) -> Sequence[str]:
    return ["10.0.0.1"] if host == "inside.example" else [PUBLIC]


@contextmanager
def _serving() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def call(engine: EngineKeeper) -> Iterator[Any]:
    """Runs a tool with its own grants."""
    _Web.asked = []
    with (
        _serving() as server,
        BlockingSandbox(WasmSandbox(paths=[engine.path])) as sandbox,
    ):

        def run(name: str, secrets: dict[str, str] | None = None, **arguments: Any) -> Any:
            code = SANDBOXED[name].code
            assert code is not None
            fetcher = Fetcher(_addresses, _Here(server.server_port))
            grants = local_grants(code.grants, secrets or {}, fetcher)
            return sandbox.run(Tool(name, code.source, code.entry), arguments, Limits(), grants)

        yield run


def test_a_page_is_read_as_markdown(call: Any) -> None:
    assert call("fetch_webpage", url="http://site.example/").value == TEXT
    assert call("fetch_webpage", url="http://site.example/data").value == '{"a": 1}'
    for url, says in (
        (
            "http://site.example/gone",
            "answered 404; try another address. It says: # Gone\n\nfor good",
        ),
        ("http://site.example/picture", "is no text (image/png)"),
        ("http://inside.example/", "not a public address"),
        ("file:///etc/passwd", "only http and https"),
    ):
        assert says in call("fetch_webpage", url=url).error


def test_the_web_is_searched_with_the_key_of_the_agent(call: Any) -> None:
    found = call(
        "web_search", {"EXA_API_KEY": "right"}, query="tea", num_results=500, category="news",
        include_domains=["t.example"],
    ).value  # fmt: skip
    page = {
        "title": "Tea", "url": "http://t.example", "published_date": "2026-01-01",
        "highlights": ["warm"],
    }  # fmt: skip
    assert found == {"query": "tea", "results": [page]}
    assert _Web.asked == [
        {"host": "api.exa.ai", "key": "right", "query": "tea", "numResults": 100, "type": "auto",
         "contents": {"highlights": True}, "category": "news", "includeDomains": ["t.example"]}
    ]  # fmt: skip
    for key, says in (
        ("no", """api.exa.ai answered 401: {"error": "invalid key"}; if it is about the key"""),
        ("odd", "sent no list of results but '[]'"),
    ):
        assert says in call("web_search", {"EXA_API_KEY": key}, query="tea").error
    assert "no secret 'EXA_API_KEY'" in call("web_search", query="tea").error


@pytest.mark.parametrize(
    ("code", "results", "out", "error"),
    [
        ("x = 20\nprint('hi')\nx + 1", ["21"], "hi\n", None),
        ("import statistics\nstatistics.mean([1, 2])", ["1.5"], "", None),
        ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nf(5)", ["120"], "", None),
        ("print(1)", [], "1\n", None),
        ("", [], "", None),
        ("print(1)\n1 / 0", [], "1\n", "ZeroDivisionError"),
        ("def f(:", [], "", "SyntaxError"),
        ("raise SystemExit(3)", [], "", "SystemExit"),
        ("import socket; socket.create_connection(('127.0.0.1', 1))", [], "", None),
    ],
)
def test_a_program_is_run(call: Any, code: str, results: list[str], out: str, error: Any) -> None:
    ran = call("run_code", code=code).value
    assert (ran["results"], ran["logs"]) == (results, {"stdout": out, "stderr": ""})
    if "socket" in code:
        assert ran["error"]["name"]
        return
    assert (ran["error"] or {}).get("name") == error
    if error == "ZeroDivisionError":
        assert 'File "<code>", line 2' in ran["error"]["traceback"]
        assert "run_code" not in ran["error"]["traceback"]


def test_a_program_that_does_not_end_is_ended(call: Any) -> None:
    assert call("run_code", code="while True: pass").reason == "timeout"
