"""Routes whose parameters are understood once, and not with every request anew.

FastAPI works out what each parameter of an endpoint is while it reads a request, within half a
dozen middlewares; that takes longer than most endpoints do. Here it is done with a route's first
request, from FastAPI's own description of it, and what is read is checked by the very fields that
FastAPI made. A request that they refuse, or that is not plain (a form, a body without its
type, an absent body), is handed to FastAPI as if nobody had looked at it: what is refused, and how,
is decided in one place. So are errors: what an endpoint raises is raised to the caller (`Edge`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response, params
from fastapi._compat import ModelField, field_annotation_is_sequence
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import ResponseValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from o_platform.api.route_table import RouteTable

_JSON: Final = b"application/json"


class PreparedRoutes:
    """An ASGI application: the framework's, and before it those of its routes that are prepared."""

    def __init__(self, app: FastAPI, table: RouteTable, otherwise: ASGIApp | None = None) -> None:
        """`table` has the routes of `app`, which answers everything else, or what is around it."""
        self._app = app
        self._otherwise = otherwise or app
        self._table = table
        self._prepared: dict[int, _PreparedRoute | None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; what an endpoint raises is raised."""
        found = self._table.found(scope) if scope["type"] == "http" else None
        prepared = None if found is None else self._of(found.route)
        if found is None or prepared is None:
            await self._otherwise(scope, receive, send)
            return
        seen: list[Message] = []
        own = {**scope, **found.scope, "app": self._app}
        try:
            values = await prepared.values(own, receive, seen)
        except _NotPlainError:
            await self._otherwise(scope, _again(seen, receive), send)
            return
        answer = await prepared.answer(values)
        await answer(own, receive, send)

    def _of(self, route: BaseRoute) -> _PreparedRoute | None:
        key = id(route)
        if key not in self._prepared:
            self._prepared[key] = _prepared(route)
        return self._prepared[key]


class _NotPlainError(Exception):
    """The request is left to the framework."""


class _CannotPrepareError(Exception):
    """The route is left to the framework."""


class _PreparedRoute:
    """What a route needs of a request, and what it answers with."""

    def __init__(self, route: APIRoute) -> None:
        """Raises `_CannotPrepareError` if the route has something that is not known here."""
        _require(route.status_code is None and isinstance(route.response_class, DefaultPlaceholder))
        _require(not (route.is_sse_stream or route.is_json_stream or route.max_body_size))
        self._call = _Call.of(route.dependant)
        self._body = _body_of(route)
        # Whoever has the request as well may read the body from it again.
        _require(self._body is None or self._call.request is None)
        self._shown = route.response_field
        self._how = {
            name: getattr(route, f"response_model_{name}")
            for name in (
                "include", "exclude", "by_alias", "exclude_unset", "exclude_defaults",
                "exclude_none",
            )
        }  # fmt: skip

    async def values(self, scope: Scope, receive: Receive, seen: list[Message]) -> dict[str, Any]:
        """The endpoint's arguments; what is received for them is kept in `seen`."""
        values = await self._call.values(Request(scope, receive))
        if self._body is not None:
            values[self._body.name] = _valid(self._body, await _json(scope, receive, seen))
        return values

    async def answer(self, values: dict[str, Any]) -> Response:
        """What the endpoint answers."""
        answer = await self._call.function(**values)
        if isinstance(answer, Response):
            return answer
        if self._shown is None:
            return JSONResponse(jsonable_encoder(answer))
        shown, problems = self._shown.validate(answer, {}, loc=("response",))
        if problems:
            raise ResponseValidationError(problems, body=answer)
        return Response(
            self._shown.serialize_json(shown, **self._how), media_type="application/json"
        )


def _prepared(route: BaseRoute) -> _PreparedRoute | None:
    try:
        # A class of its own answers in a way of its own.
        return _PreparedRoute(route) if type(route) is APIRoute else None
    except _CannotPrepareError:
        return None


@dataclass(frozen=True, slots=True)
class _Call:
    """A function, and where its arguments come from."""

    function: Callable[..., Awaitable[Any]]
    request: str | None
    """Name of the argument that is the request itself."""
    path: Sequence[ModelField]
    headers: Sequence[tuple[str, ModelField]]
    query: _Query | None
    called: Sequence[tuple[str, _Call]] = field(default=())
    """What others return, by the argument's name."""

    @classmethod
    def of(cls, dependant: Dependant) -> _Call:
        function = dependant.call
        unknown = (
            dependant.cookie_params, dependant.websocket_param_name,
            dependant.http_connection_param_name, dependant.response_param_name,
            dependant.background_tasks_param_name, dependant.security_scopes_param_name,
            dependant.own_oauth_scopes, dependant.parent_oauth_scopes, dependant.concurrency,
        )  # fmt: skip
        _require(not any(unknown))
        if not iscoroutinefunction(function):
            raise _CannotPrepareError
        # One without a name only lets requests pass or refuses them: that stays where it is known.
        _require(all(one.name is not None for one in dependant.dependencies))
        return cls(
            function,
            dependant.request_param_name,
            dependant.path_params,
            [(_header(one), one) for one in dependant.header_params],
            _Query.of(dependant.query_params) if dependant.query_params else None,
            [(one.name, cls.of(one)) for one in dependant.dependencies if one.name is not None],
        )

    async def values(self, request: Request) -> dict[str, Any]:
        """The arguments of the function."""
        values: dict[str, Any] = {}
        for name, call in self.called:
            values[name] = await call.function(**await call.values(request))
        for one in self.path:
            values[one.name] = _valid(one, request.path_params[one.alias])
        if self.query is not None:
            values |= self.query.values(request.scope["query_string"])
        for header, one in self.headers:
            values[one.name] = _given(one, request.headers.get(header))
        if self.request is not None:
            values[self.request] = request
        return values


@dataclass(frozen=True, slots=True)
class _Query:
    """The parameters of a query string: those of one model, or each an argument of its own."""

    model: ModelField | None
    fields: Sequence[ModelField]
    sequences: frozenset[str]
    """Names of those that may be given several times."""

    @classmethod
    def of(cls, fields: Sequence[ModelField]) -> _Query:
        model = fields[0] if _is_model(fields[0]) else None
        if model is not None:
            _require(len(fields) == 1)
            annotation = model.field_info.annotation
            members = annotation.model_fields.items()  # type: ignore[union-attr]
            _require(all(info.alias is None for _, info in members))
            lists = (n for n, info in members if field_annotation_is_sequence(info.annotation))
            return cls(model, (), frozenset(lists))
        for one in fields:
            _require(not _is_model(one) and one.validation_alias is None)
            _require(not one.field_info.validate_default)
        lists = (one.alias for one in fields if _is_sequence(one))
        return cls(None, fields, frozenset(lists))

    def values(self, query: bytes) -> dict[str, Any]:
        """The arguments."""
        sent: dict[str, Any] = {}
        if query:
            for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
                if name in self.sequences:
                    sent.setdefault(name, []).append(value)
                else:
                    sent[name] = value
        if self.model is not None:
            return {self.model.name: _valid(self.model, sent)}
        return {one.name: _given(one, sent.get(one.alias)) for one in self.fields}


def _header(one: ModelField) -> str:
    _require(not _is_sequence(one) and not _is_model(one) and one.validation_alias is None)
    _require(not one.field_info.validate_default)
    return one.alias


def _body_of(route: APIRoute) -> ModelField | None:
    if route.body_field is None:
        return None
    is_plain = isinstance(route.body_field.field_info, params.Body)
    _require(is_plain and not isinstance(route.body_field.field_info, params.Form))
    (only,) = route.dependant.body_params[:1]
    _require(len(route.dependant.body_params) == 1 and not route._embed_body_fields)
    return only


async def _json(scope: Scope, receive: Receive, seen: list[Message]) -> Any:
    """The body, which is not null; what is received is kept in `seen`."""
    if (b"content-type", _JSON) not in scope["headers"]:
        raise _NotPlainError
    while True:
        message = await receive()
        seen.append(message)
        if message["type"] != "http.request":
            raise _NotPlainError
        if not message.get("more_body", False):
            break
    try:
        body = json.loads(b"".join(one.get("body", b"") for one in seen))
    except (ValueError, RecursionError) as error:
        raise _NotPlainError from error
    if body is None:
        raise _NotPlainError
    return body


def _again(seen: Sequence[Message], receive: Receive) -> Receive:
    """Receives what was received already, then what follows."""
    kept = list(seen)

    async def received() -> Message:
        return kept.pop(0) if kept else await receive()

    return received


def _given(one: ModelField, value: Any) -> Any:
    """A value that may be absent."""
    if value is not None:
        return _valid(one, value)
    if one.field_info.is_required():
        raise _NotPlainError
    return one.get_default()


def _valid(one: ModelField, value: Any) -> Any:
    valid, problems = one.validate(value)
    if problems:
        raise _NotPlainError
    return valid


def _is_model(one: ModelField) -> bool:
    annotation = one.field_info.annotation
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_sequence(one: ModelField) -> bool:
    return field_annotation_is_sequence(one.field_info.annotation)


def _require(known: bool) -> None:
    if not known:
        raise _CannotPrepareError
