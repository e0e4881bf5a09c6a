"""An answer for every request, whatever happens inside."""

from __future__ import annotations

import logging

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from o_platform.api.edge import Edge
from o_platform.wiring.demand import Demand

pytestmark = pytest.mark.unit


def client(app: object) -> httpx.AsyncClient:
    edge = Edge(app, Demand(), max_body_bytes=10, max_upload_bytes=20)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://edge")


async def test_what_nobody_foresaw_is_answered_and_not_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret")

    async with client(fails) as http:
        answer = await http.get("/x", headers={"x-request-id": "r1"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "r1" in answer.text
    assert "secret" not in answer.text
    assert caplog.records[0].levelno == logging.ERROR


async def test_an_answer_that_has_begun_is_not_made_whole_by_another() -> None:
    async def fails_late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    async with client(fails_late) as http:
        with pytest.raises(RuntimeError, match="late"):
            await http.get("/x")
