"""Errors in the form that clients of OpenAI's APIs read: `{"error": {"message", "type", …}}`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from o_platform.agents.turn_client import TurnRefusedError
from o_platform.errors import OError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OpenAiRoute(APIRoute):
    """A route whose errors are in OpenAI's form."""

    def get_route_handler(self) -> Handler:
        """The handler, with its errors translated."""
        handle = super().get_route_handler()

        async def translated(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _invalid(error)
            except (OError, TurnRefusedError) as error:
                return JSONResponse(error_body(error), error.status)

        return translated


def error_body(error: OError | TurnRefusedError, param: str | None = None) -> dict[str, Any]:
    """The body of an answer, or of an event of a stream."""
    return _body(error.message, error.status, error.code, param)


def _invalid(error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:])
    body = _body(f"{param}: {first['msg']}", HTTPStatus.BAD_REQUEST, first["type"], param or None)
    return JSONResponse(body, HTTPStatus.BAD_REQUEST)


def _body(message: str, status: int, code: str, param: str | None) -> dict[str, Any]:
    is_server = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    kind = "server_error" if is_server else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
