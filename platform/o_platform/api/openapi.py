"""The one OpenAPI document: this application's routes, and the turns that instances answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from o_contracts.turns import REFUSED_FIELDS, json_schemas

TITLE: Final = "Project O"
_DESCRIPTION: Final = """\
A Letta-V1-compatible agent server, and the delivery of variants of its agents (`/o/v1/…`).

A trailing slash makes no difference. Lists are paged by `limit`, `before` and `after` (ids, in \
the order of the listing). Errors are `{"detail": …, "code": …}`; what the Letta API has and this \
server does not answers 501 with the code `not_offered`.
"""
_REFERENCE: Final = {"$ref": "#/components/schemas/TurnRequest"}
_ERRORS: Final = {
    "404": "no such agent",
    "409": "the agent waits for something else first",
    "413": "the body is too large",
    "422": "the body is not a turn",
    "429": "the budget is spent",
    "503": "no instance is ready; try again",
}


def install_openapi(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Let the application answer `/openapi.json` with the merged document of these routes."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _merged(app, routes)
        return app.openapi_schema

    # FastAPI's documented extension point.
    app.openapi = document  # type: ignore[method-assign]


def _merged(app: FastAPI, routes: Sequence[BaseRoute]) -> dict[str, Any]:
    document = get_openapi(
        title=TITLE, version=app.version, description=_DESCRIPTION, routes=routes
    )
    document["components"]["schemas"] |= json_schemas()
    for path, operation in _turn_operations().items():
        document["paths"].setdefault(path, {})["post"] = operation
    return document


def _turn_operations() -> dict[str, dict[str, Any]]:
    messages = "/v1/agents/{agent_id}/messages"
    refused = ", ".join(REFUSED_FIELDS)
    create = _operation(
        "create_turn",
        "Run a turn of an agent",
        f"Answers when the turn has ended; with `streaming` as `…/stream` does. Not offered (501): "
        f"{refused}.",
        ["application/json", "text/event-stream"],
    )
    stream = _operation(
        "stream_turn",
        "Run a turn of an agent and stream it",
        "Server-sent events: messages as they are made, then `stop_reason`, `usage_statistics`.",
        ["text/event-stream"],
    )
    background = _operation(
        "create_background_turn",
        "Run a turn of an agent in the background",
        "Answers at once, with the run; follow it by `/v1/runs/{id}` or `/v1/runs/{id}/stream`.",
        ["application/json"],
    )
    return {messages: create, messages + "/stream": stream, messages + "/async": background}


def _operation(name: str, summary: str, description: str, media: list[str]) -> dict[str, Any]:
    agent_id = {
        "name": "agent_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^agent-"},
    }
    errors = {status: {"description": text} for status, text in _ERRORS.items()}
    answered: dict[str, Any] = {kind: {"schema": {}} for kind in media}
    return {
        "tags": ["turns"],
        "operationId": name,
        "summary": summary,
        "description": description,
        "parameters": [agent_id],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _REFERENCE}}},
        "responses": {"200": {"description": "the turn", "content": answered}, **errors},
    }
