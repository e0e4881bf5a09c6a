"""Errors as answers: `{"detail": "sentence", "code": "…"}`; 422 in FastAPI's form."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from o_platform.errors import DatabaseUnavailableError, NotOfferedError, OError

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 400: "bad_request"}
_RETRY_AFTER_S = "1"
_log = logging.getLogger(__name__)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error the same way."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def error_answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error, wherever it was raised."""
    for kind in type(error).__mro__:
        if kind in _HANDLERS:
            return await _HANDLERS[kind](request, error)
    return unexpected_error(request, error)


async def _platform_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OError)  # noqa: S101 — registered for this type
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning(error.message, extra=_about(request) | {"code": error.code})
    content = {"detail": error.message, "code": error.code}
    return JSONResponse(content, error.status, _retry_headers(error))


def _retry_headers(error: OError) -> dict[str, str] | None:
    if error.retryable:
        return {"retry-after": _RETRY_AFTER_S}
    # Without this the SDK repeats whatever is 500 or above.
    return {"x-should-retry": "false"} if isinstance(error, NotOfferedError) else None


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 — registered for this type
    # Without `input`: what was sent may be a secret, or not JSON at all.
    return _refused([_problem(one) for one in error.errors()])


def _problem(found: dict[str, Any]) -> dict[str, Any]:
    problem = {key: found[key] for key in ("loc", "msg", "type")}
    if found["type"] == "json_invalid" and "ctx" in found:
        # FastAPI's parser tells the cause apart from the message; ours within it.
        problem["msg"] = f"{found['msg']}: {found['ctx']['error']}"
    return problem


def _refused(problems: list[dict[str, Any]]) -> JSONResponse:
    return JSONResponse({"detail": problems}, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 — registered for this type
    if isinstance(error.__cause__, ValueError | RecursionError):
        # The parser's: not UTF-8, nested too deep, a number of too many digits.
        message = f"JSON decode error: {error.__cause__}"
        return _refused([{"loc": ["body"], "msg": message, "type": "json_invalid"}])
    detail: Any = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"there is no path {request.url.path}"
    content = {"detail": detail, "code": _CODES.get(error.status_code, "http_error")}
    return JSONResponse(content, error.status_code, error.headers)


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    # A lost connection surfaces here when it breaks outside a unit of work's own statements.
    _log.error("the database refused a statement", extra=_about(request), exc_info=error)
    if getattr(error, "connection_invalidated", False):
        return await _platform_error(request, DatabaseUnavailableError("the database went away"))
    return unexpected_error(request, error)


def unexpected_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to what nobody foresaw; the log has the rest."""
    about = _about(request)
    _log.error("unexpected error", extra=about, exc_info=error)
    request_id = about["request_id"] or "unknown"
    detail = f"internal error; see `o logs control` for the request {request_id}"
    return JSONResponse({"detail": detail, "code": "internal"}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _about(request: Request) -> dict[str, str]:
    return {
        "path": request.url.path,
        "method": request.method,
        "request_id": request.headers.get("x-request-id", ""),
    }


_HANDLERS: Final[dict[type, Callable[[Request, Exception], Awaitable[JSONResponse]]]] = {
    OError: _platform_error,
    RequestValidationError: _invalid_request,
    HTTPException: _http_error,
    SQLAlchemyError: _database_error,
    psycopg.Error: _database_error,
}
