"""Prepared routes answer as the framework does, and leave to it what they do not know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
)
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, StringConstraints
from starlette.types import ASGIApp, Receive, Scope, Send

from o_platform.api.edge import Answered, Edge
from o_platform.api.errors import install_error_handlers
from o_platform.api.fields import Input, Name
from o_platform.api.prepared_routes import PreparedRoutes
from o_platform.api.route_table import RouteTable
from o_platform.errors import NotFoundError
from o_platform.wiring.demand import Demand

pytestmark = pytest.mark.unit
router = APIRouter()
Id = Annotated[str, StringConstraints(pattern="^thing-[0-9]+$"), Path()]


class Listing(BaseModel):
    limit: int | None = Field(None, ge=1, le=50)
    order: Literal["asc", "desc"] = "desc"
    tags: list[str] | None = None
    all_tags: bool = False


class Thing(Input):
    name: Name
    size: int = 3
    parts: list[str] = []


class Shown(BaseModel):
    id: str
    values: dict[str, Any]


async def _who(x_o_client: Annotated[str, Header()] = "") -> str:
    return x_o_client or "operator"


async def _why(
    who: Annotated[str, Depends(_who)],
    x_o_reason: Annotated[str, Header(max_length=5)] = "none",
) -> str:
    return f"{who}: {x_o_reason}"


@router.get("/v1/things")
async def list_things(query: Annotated[Listing, Query()]) -> list[Shown]:
    values = query.model_dump() | {"set": sorted(query.model_fields_set)}
    return [Shown(id="thing-1", values=values)]


@router.get("/v1/things/{thing}/one")
async def one(thing: Id, part: str | None = None, most: Annotated[int, Query(ge=2)] = 2) -> Shown:
    if thing == "thing-404":
        raise NotFoundError("no such thing")
    if thing == "thing-418":
        raise HTTPException(418, "a teapot")
    if thing == "thing-500":
        raise RuntimeError("nobody foresaw this")
    return Shown(id=thing, values={"part": part, "most": most})


@router.post("/v1/things")
async def make(body: Thing, why: Annotated[str, Depends(_why)]) -> Shown:
    return Shown(id="thing-2", values=body.model_dump() | {"why": why})


@router.post("/v1/things/optional")
async def optional(body: Thing | None = None) -> dict[str, Any]:
    return {"body": body and body.model_dump()}


@router.post("/v1/things/raw", response_model=Shown)
async def raw(body: Thing) -> Response:
    return Response(b'{"id":1}', 201, {"x-own": "1"}, "application/json")


@router.post("/v1/things/form")
async def form(name: Annotated[str, Form()]) -> str:
    return name


async def _guard(x_o_client: Annotated[str, Header()] = "") -> None:
    if x_o_client != "ada":
        raise HTTPException(403, "not for you")


@router.get("/v1/guarded", dependencies=[Depends(_guard)])
async def guarded() -> str:
    return "for ada"


@router.delete("/v1/things/{thing}", status_code=204, response_class=Response)
async def remove(thing: Id) -> None:
    return None


class OwnRoute(APIRoute):
    """Answers errors in a way of its own."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def own(request: Request) -> Response:
            try:
                return await handler(request)
            except NotFoundError:
                return Response("in a way of its own", 404)

        return own


own = APIRouter(route_class=OwnRoute)


@own.get("/v1/own")
async def fails() -> str:
    raise NotFoundError("no such thing")


class Framework:
    """The framework's application; counts what it is asked."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.router.routes.extend([*router.routes, *own.routes])
        install_error_handlers(self.app)
        self.app.add_middleware(Answered)
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await self.app(scope, receive, send)


@pytest.fixture
def framework() -> Framework:
    return Framework()


@pytest.fixture
async def both(framework: Framework) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """The framework alone, and prepared routes before it."""
    prepared = PreparedRoutes(framework.app, RouteTable(framework.app.routes), framework)
    async with _client(framework) as plain, _client(prepared) as quick:
        yield plain, quick


def _client(app: ASGIApp) -> httpx.AsyncClient:
    edge = Edge(app, Demand(), max_body_bytes=2_000, max_upload_bytes=2_000)
    return httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://x")


THINGS = "/v1/things"
JSON = {"content-type": "application/json"}
NAMED = b'{"name": "a"}'
PREPARED = (
    ("GET", THINGS, b"", {}),
    ("GET", THINGS + "?limit=7&order=asc&unknown=1", b"", {}),
    ("GET", THINGS + "?tags=a&tags=b&all_tags=true&order=asc&order=desc", b"", {}),
    ("GET", THINGS + "?tags=%C3%A9+x&tags=", b"", {}),
    ("GET", THINGS + "/thing-1/one", b"", {}),
    ("GET", THINGS + "/thing-1/one?part=&most=5", b"", {}),
    ("GET", THINGS + "/thing-404/one", b"", {}),
    ("GET", THINGS + "/thing-418/one", b"", {}),
    ("GET", THINGS + "/thing-500/one", b"", {}),
    ("POST", THINGS, NAMED, JSON),
    ("POST", THINGS, b'{"name": "a", "size": 4, "parts": ["x"], "more": 1}', JSON),
    ("POST", THINGS, NAMED, {**JSON, "x-o-client": "ada", "x-o-reason": "why"}),
    ("POST", THINGS, b'{"name": "' + b"a" * 3_000 + b'"}', JSON),
    ("POST", THINGS + "/optional", NAMED, JSON),
    ("POST", THINGS + "/raw", NAMED, JSON),
)
LEFT = (
    ("GET", "/v1/guarded", b"", {}),
    ("GET", "/v1/guarded", b"", {"x-o-client": "ada"}),
    ("GET", THINGS + "?limit=0", b"", {}),
    ("GET", THINGS + "?limit=x&order=up", b"", {}),
    ("GET", THINGS + "/thing-x/one", b"", {}),
    ("GET", THINGS + "/thing-1/one?most=1", b"", {}),
    ("GET", THINGS + "/thing-1/two", b"", {}),
    ("PUT", THINGS, NAMED, JSON),
    ("POST", THINGS, NAMED, {**JSON, "x-o-reason": "too long"}),
    ("POST", THINGS, NAMED, {}),
    ("POST", THINGS, NAMED, {"content-type": "text/plain"}),
    ("POST", THINGS, NAMED, {"content-type": "application/json; charset=utf-8"}),
    ("POST", THINGS, b"", JSON),
    ("POST", THINGS, b"null", JSON),
    ("POST", THINGS, b"[]", JSON),
    ("POST", THINGS, b"{", JSON),
    ("POST", THINGS, b'{"name": "\xff"}', JSON),
    ("POST", THINGS, b'{"name": "\\ud800"}', JSON),
    ("POST", THINGS, b'{"name": "", "size": "4"}', JSON),
    ("POST", THINGS, b"[" * 1_900, JSON),
    ("POST", THINGS + "/optional", b"", {}),
    ("POST", THINGS + "/optional", b"null", JSON),
    ("POST", THINGS + "/form", b"name=a", {"content-type": "application/x-www-form-urlencoded"}),
    ("DELETE", THINGS + "/thing-1", b"", {}),
    ("GET", "/v1/own", b"", {}),
)


@pytest.mark.parametrize("request_", [*PREPARED, *LEFT])
async def test_the_answer_is_the_frameworks(
    both: tuple[httpx.AsyncClient, httpx.AsyncClient], framework: Framework, request_: Any
) -> None:
    method, path, body, headers = request_
    answers = []
    for client in both:
        framework.asked = 0
        answer = await client.request(method, path, content=body or None, headers=headers)
        answers.append((answer.status_code, answer.content, dict(answer.headers)))
    assert answers[0] == answers[1]
    assert framework.asked == (request_ in LEFT)


async def test_a_body_in_pieces_is_one(
    both: tuple[httpx.AsyncClient, httpx.AsyncClient], framework: Framework
) -> None:
    async def pieces(whole: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 4):
            yield whole[start : start + 4]

    for body in (b'{"name": "in pieces"}', b'{"name": "in pieces", "size": "no"}'):
        plain, quick = [
            await client.post(THINGS, content=pieces(body), headers=JSON) for client in both
        ]
        assert (plain.status_code, plain.content) == (quick.status_code, quick.content)
