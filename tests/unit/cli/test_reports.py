"""What commands print: summaries, logs, findings, errors of the control plane."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import get_args

import pytest

from o_platform.cli import doctor, logs, terminal
from o_platform.cli.control_api import ControlApi, RefusedError
from o_platform.cli.kernel import kernel_findings
from o_platform.cli.listener import (
    listener_findings,
    require_certificate,
    require_free_port,
    warn_if_open,
)
from o_platform.cli.origins import compare_origins, keep_origins
from o_platform.cli.start import _only_start
from o_platform.cli.summary import base_url, first_token, print_summary, token_file
from o_platform.cli.tiers import tier_findings
from o_platform.errors import NotFoundError, SetupError, UnavailableError
from o_platform.settings import Settings
from o_sandbox.jail import Layer, LayerName
from o_sandbox.tool import Tier

pytestmark = pytest.mark.unit


def make_settings(folder: Path, **changes: object) -> Settings:
    return Settings(home=folder / "home", run_dir=folder / "run", **changes)  # type: ignore[arg-type]


@contextmanager
def answering(path: Path, status: int, body: object) -> Iterator[list[tuple[str, str, bytes]]]:
    """An HTTP server on a Unix socket that always answers the same, and what it was asked."""
    asked: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            asked.append((self.command, self.path, self.rfile.read(length)))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "local"

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def test_errors_of_the_control_plane_are_put_in_words(short_tmp: Path) -> None:
    path = short_tmp / "c.sock"
    with pytest.raises(UnavailableError, match="start it with `o up`"):
        ControlApi(path).get("/o/v1/status")
    with (
        answering(path, 404, {"detail": "no variant `abc`"}),
        pytest.raises(RefusedError, match="no variant `abc`"),
    ):
        ControlApi(path).get("/o/v1/variants/abc")
    problems = {"detail": [{"loc": ["body", "name"], "msg": "too long", "type": "x"}]}
    path.unlink()
    with answering(path, 422, problems), pytest.raises(RefusedError, match="name: too long"):
        ControlApi(path).post("/o/v1/keys", {"name": "x" * 99, "role": None})


def test_parameters_that_are_not_given_are_not_sent(short_tmp: Path) -> None:
    with answering(short_tmp / "c.sock", 200, {"ok": 1}) as asked:
        api = ControlApi(short_tmp / "c.sock")
        assert api.get("/a", lineage="x", limit=None) == {"ok": 1}
        api.post("/b", {"x": 1, "y": None})
    assert asked == [("GET", "/a?lineage=x", b""), ("POST", "/b", b'{"x":1}')]


def test_the_first_key_is_made_once_and_kept_privately(short_tmp: Path) -> None:
    settings = make_settings(short_tmp)
    with answering(short_tmp / "c.sock", 200, {"token": "ey.x.y"}) as asked:
        api = ControlApi(short_tmp / "c.sock")
        assert first_token(settings, api) == "ey.x.y"
        assert first_token(settings, api) == "ey.x.y"
    assert len(asked) == 1
    assert token_file(settings).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("listen", "tls", "url"),
    [
        ("127.0.0.1:8283", "off", "http://127.0.0.1:8283"),
        ("0.0.0.0:443", "auto", "https://127.0.0.1:443"),
        ("[::1]:9000", "off", "http://[::1]:9000"),
        ("agents.example:8283", "a.pem:b.pem", "https://agents.example:8283"),
    ],
)
def test_the_url_that_clients_use(tmp_path: Path, listen: str, tls: str, url: str) -> None:
    assert base_url(make_settings(tmp_path, listen=listen, tls=tls)) == url


def test_the_summary_has_the_url_the_key_and_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(make_settings(tmp_path), "ey.token", "Project O is up.")
    text = capsys.readouterr().out
    for part in ("http://127.0.0.1:8283", "ey.token", "curl -s", "from letta_client import Letta"):
        assert part in text


def test_a_second_start_waits_for_the_first_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with _only_start(tmp_path / "lock"):
            order.append("second")

    with _only_start(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert f"another `o up` is at work (process {os.getpid()}); waiting" in capsys.readouterr().err


def test_logs_show_the_end_of_one_or_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(tmp_path)
    folder = settings.home / "log"
    folder.mkdir(parents=True)
    (folder / "bridge.log").write_text("".join(f"b{i}\n" for i in range(30)))
    (folder / "envoy.log").write_text("e0\n")
    logs.show(settings, "bridge", follow=False, tail=2)
    assert capsys.readouterr().out == "b28\nb29\n"
    logs.show(settings, None, follow=False, tail=1)
    assert capsys.readouterr().out == "bridge  b29\nenvoy   e0\n"
    with pytest.raises(NotFoundError, match="no process is called 'nobody'.*bridge, envoy"):
        logs.show(settings, "nobody", follow=False, tail=1)


def test_a_followed_log_goes_on_after_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("1\n2\n")
    log = logs.FollowedLog(path, tail=1)
    assert list(log.new_lines()) == ["2"]
    with path.open("a") as file:
        file.write("3\n")
    path.rename(tmp_path / "a.log.1")
    path.write_text("4\n")
    assert list(log.new_lines()) == ["3", "4"]
    log.close()


def test_a_taken_port_is_found_with_its_holder(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        settings = make_settings(tmp_path, listen=f"127.0.0.1:{port}")
        (finding,) = listener_findings(settings)
        with pytest.raises(SetupError, match=f"in use by .*process {os.getpid()}"):
            require_free_port(settings)
    assert finding.level == "missing"
    assert f"process {os.getpid()}" in finding.message
    assert "O_LISTEN" in finding.remedy


def test_an_open_listener_without_tls_is_weak(tmp_path: Path) -> None:
    findings = list(listener_findings(make_settings(tmp_path, listen="0.0.0.0:0")))
    assert [finding.level for finding in findings] == ["good", "weak"]


def test_a_start_warns_of_a_listener_in_clear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_if_open(make_settings(tmp_path))
    warn_if_open(make_settings(tmp_path, listen="0.0.0.0:8283", tls="auto"))
    assert capsys.readouterr().err == ""
    warn_if_open(make_settings(tmp_path, listen="0.0.0.0:8283"))
    assert "O_TLS=auto" in capsys.readouterr().err


@pytest.mark.parametrize("tls", ["banana", "/nowhere/cert.pem:/nowhere/key.pem"])
def test_a_certificate_is_checked_before_the_start(tmp_path: Path, tls: str) -> None:
    require_certificate(make_settings(tmp_path))
    require_certificate(make_settings(tmp_path, tls="auto"))
    with pytest.raises(SetupError, match="O_TLS"):
        require_certificate(make_settings(tmp_path, tls=tls))


def test_another_start_is_told_what_the_running_platform_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(tmp_path, database_url="postgresql://o:secret@db/o")
    settings.run.mkdir()
    compare_origins(settings, {"OPENAI_API_KEY": "sk-secret"})
    keep_origins(settings, {"GROQ_API_KEY": "gsk-secret"})
    (kept,) = settings.run.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "secret" not in kept.read_text()
    compare_origins(settings, {})
    assert capsys.readouterr().err == ""
    other = settings.model_copy(update={"llm_retries": 0})
    compare_origins(other, {"OPENAI_API_KEY": "sk-secret", "GROQ_API_KEY": "other"})
    said = capsys.readouterr().err
    assert "GROQ_API_KEY, OPENAI_API_KEY, O_LLM_RETRIES; `o down` first" in said
    with pytest.raises(SetupError, match="O_TLS"):
        compare_origins(settings.model_copy(update={"tls": "auto"}), {})


def test_the_doctor_looks_at_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = make_settings(tmp_path, listen="127.0.0.1:0", runtime="process")
    doctor.show(settings, as_json=True)
    subjects = {finding["subject"] for finding in json.loads(capsys.readouterr().out)}
    expected = {"Python", "Envoy", "PostgreSQL", "disk", "memory", "listener", "instances"}
    assert expected <= subjects
    assert {finding.subject for finding in kernel_findings()} <= subjects
    assert {f"tier {tier}" for tier in get_args(Tier)} <= subjects
    assert doctor.show(settings, as_json=False)
    assert "→" in capsys.readouterr().out


def test_the_doctor_says_which_tiers_lack_a_layer_and_what_to_do() -> None:
    names: tuple[LayerName, ...] = get_args(LayerName)
    held = [Layer(name, name != "landlock", "no such call") for name in names]
    findings = {finding.subject: finding for finding in tier_findings(held)}
    assert findings["tier restricted"].level == "good"
    assert "without landlock" in findings["tier restricted"].message
    for tier in ("wasm", "module", "container"):
        refused = findings[f"tier {tier}"]
        assert (refused.level, refused.message) == ("weak", "does not start without landlock")
        assert "lsm=" in refused.remedy
    assert "no such call" in findings["layer landlock"].message
    assert "layer seccomp" not in findings


def test_an_unreachable_database_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"postgresql://o@/o?host={tmp_path}"
    monkeypatch.setenv("DATABASE_URL", url)
    settings = make_settings(tmp_path, runtime="process", listen="127.0.0.1:0")
    assert not doctor.show(settings, as_json=False)
    assert "DATABASE_URL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (4.25, "4.2 s"), (180, "3 min"), (7200, "2 h"), (1e6, "12 d")],
)
def test_durations_in_words(seconds: float | None, text: str) -> None:
    assert terminal.duration(seconds) == text


def test_tables_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(("name", "n"), [("a", 1), ("longer", None)])
    assert capsys.readouterr().out == "name    n\na       1\nlonger  –\n"
    terminal.print_table(("name",), [])
    assert capsys.readouterr().out == "name\n(none)\n"
