"""Who may do what: tokens, roles, revocation."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from o_platform.traffic.keys import Signer

pytestmark = pytest.mark.integration
NOTHING: dict[str, str] = {}
JUNK = {"authorization": "Bearer sk-anything"}


async def _status(edge: Any, path: str, headers: dict[str, str]) -> int:
    async with edge.client() as client:
        answer = await client.post(path, headers=headers)
    if answer.status_code != 200:
        assert set(answer.json()) == {"detail", "code"}
        assert answer.headers["content-type"] == "application/json"
    return int(answer.status_code)


async def test_a_loopback_server_serves_anyone_but_its_operator_routes(edge: Any) -> None:
    client, operator = edge.bearer("client"), edge.bearer("operator")
    for path in (edge.turn(), "/v1/agents/"):
        for headers in (NOTHING, JUNK, client, operator):
            assert await _status(edge, path, headers) == 200
    for path in ("/o/v1/rollouts", "/o/v1"):
        expected = [(NOTHING, 401), (JUNK, 401), (client, 403), (operator, 200)]
        for headers, status in expected:
            assert await _status(edge, path, headers) == status


async def test_a_server_that_requires_keys_serves_nobody_without(edge: Any) -> None:
    await edge.serve(listener=replace(edge.snapshot.listener, auth_required=True))
    client, operator = edge.bearer("client"), edge.bearer("operator")
    for path in (edge.turn(), "/v1/agents/", "/"):
        expected = [(NOTHING, 401), (JUNK, 401), (client, 200), (operator, 200)]
        for headers, status in expected:
            assert await _status(edge, path, headers) == status
    assert await _status(edge, "/o/v1/rollouts", client) == 403
    for path in ("/v1/health", "/v1/health/"):
        assert await _status(edge, path, NOTHING) == 200


async def test_identity_goes_on_and_the_key_does_not(edge: Any) -> None:
    async with edge.client() as client:
        headers = edge.bearer("client", key_id="key-7", name="grace")
        to_control = (await client.get("/v1/agents/", headers=headers)).json()["headers"]
        to_instance = (await client.post(edge.turn(), headers=headers)).json()["headers"]
    identity = {name: to_control[name] for name in ("x-o-client", "x-o-role", "x-o-key")}
    assert identity == {"x-o-client": "grace", "x-o-role": "client", "x-o-key": "key-7"}
    assert to_instance["x-o-client"] == "grace"
    assert not {"x-o-role", "x-o-key"} & set(to_instance)
    assert "authorization" not in {**to_control, **to_instance}


async def test_a_revoked_key_is_refused_even_where_none_is_needed(edge: Any) -> None:
    gone, kept = edge.bearer("operator", "key-1"), edge.bearer("operator", "key-10")
    await edge.serve(revoked=frozenset({"key-1", "key-2"}))
    for path in (edge.turn(), "/v1/agents/", "/o/v1/rollouts"):
        assert await _status(edge, path, gone) == 401
        assert await _status(edge, path, kept) == 200
    async with edge.client() as client:
        answer = await client.get("/v1/agents/", headers=gone)
    assert "revoked" in answer.json()["detail"]


async def test_tokens_of_others_are_not_taken(edge: Any, tmp_path: Path) -> None:
    stranger = Signer(tmp_path).sign("key-1", "eve", "operator")
    own = edge.signer.sign("key-1", "ada", "client")
    claims = jwt.decode(own, options={"verify_signature": False})
    unsigned = jwt.encode({**claims, "role": "operator"}, key=None, algorithm="none")
    head, _, signature = own.split(".")
    raised = base64.urlsafe_b64encode(json.dumps({**claims, "role": "operator"}).encode())
    tampered = ".".join([head, raised.rstrip(b"=").decode(), signature])
    for token in (stranger, unsigned, tampered):
        headers = {"authorization": f"Bearer {token}"}
        assert await _status(edge, "/o/v1/rollouts", headers) == 401
        async with edge.client() as client:
            answer = await client.get("/v1/agents/", headers=headers)
        assert not {"x-o-role", "x-o-client", "x-o-key"} & set(answer.json()["headers"])


@pytest.mark.parametrize(
    "path",
    [
        *("/o/v1/x", "//o//v1/x", "/./o/v1/x", "/v1/../o/v1/x", "/%6f/v1/x", "/o%2Fv1%2fx"),
        *("/%6F/%761/x", "/O/V1/x", "/o/v1?x=1", "/v1/%2e%2e/o/v1/x", "/o/%76%31/x"),
    ],
)
async def test_no_spelling_of_an_operator_route_gets_past(edge: Any, path: str) -> None:
    for expected, headers in ((401, NOTHING), (403, edge.bearer("client"))):
        lines = [f"GET {path} HTTP/1.1", "host: o", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        assert await _raw_status(edge, "\r\n".join(lines)) == expected
    assert edge.control.seen == []


async def _raw_status(edge: Any, head: str) -> int:
    port = edge.settings.listen_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}\r\n\r\n".encode())
    async with asyncio.timeout(30):
        answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])
