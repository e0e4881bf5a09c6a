"""The one OpenAPI document: this application's routes, and the turns that instances answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

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
_TURN: Final = "TurnRequest"
_COMPACTION: Final = "CompactionRequest"
_JSON: Final = ("application/json",)
_STREAM: Final = ("text/event-stream",)
_BOTH: Final = (*_JSON, *_STREAM)
_COMPACT: Final = "Summarise the older messages of a window"
_REFUSED: Final = f"Not offered (501): {', '.join(REFUSED_FIELDS)}."
_ERRORS: Final = {
    "404": "no such {noun}",
    "409": "the {noun} waits for something else first",
    "413": "the body is too large",
    "422": "the id or the body is not as described",
    "429": "the budget is spent",
    "503": "no instance is ready; try again",
}
_ERRORS_WITHOUT_BODY: Final = frozenset({"404", "422", "503"})


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
    for thread in (_AGENT, _CONVERSATION):
        for (method, end), operation in _operations(thread).items():
            document["paths"].setdefault(thread.path + end, {})[method] = operation
    return document


class _Thread(NamedTuple):
    """Whose turns and windows operations are about."""

    noun: str
    path: str
    parameter: str
    pattern: str


_AGENT: Final = _Thread("agent", "/v1/agents/{agent_id}", "agent_id", "^agent-")
_CONVERSATION: Final = _Thread(
    "conversation",
    "/v1/conversations/{conversation_id}",
    "conversation_id",
    "^(conv-|default$)",
)


def _operations(thread: _Thread) -> dict[tuple[str, str], dict[str, Any]]:
    """Operations by method and end of path."""
    noun = thread.noun
    found = {
        ("post", "/recompile"): _operation(
            thread, f"recompile_{noun}", "The system prompt as the next turn will have it", _JSON
        )
    }
    if thread is _CONVERSATION:
        return found | {
            ("post", "/messages"): _operation(
                thread, "create_conversation_turn", "Run a turn of a conversation", _BOTH,
                f"A stream, unless `streaming` is false. {_REFUSED}", _TURN,
            ),
            ("post", "/compact"): _operation(
                thread, "compact_conversation", _COMPACT, _JSON, body=_COMPACTION
            ),
        }  # fmt: skip
    return found | {
        ("post", "/messages"): _operation(
            thread, "create_turn", "Run a turn of an agent", _BOTH,
            f"Answers when the turn has ended; with `streaming` as `…/stream` does. {_REFUSED}",
            _TURN,
        ),
        ("post", "/messages/stream"): _operation(
            thread, "stream_turn", "Run a turn of an agent and stream it", _STREAM,
            "Server-sent events: messages as they are made, then `stop_reason`, "
            "`usage_statistics`.",
            _TURN,
        ),
        ("post", "/messages/async"): _operation(
            thread, "create_background_turn", "Run a turn of an agent in the background", _JSON,
            "Answers at once, with the run; follow it by `/v1/runs/{id}` or "
            "`/v1/runs/{id}/stream`.",
            _TURN,
        ),
        ("post", "/summarize"): _operation(
            thread, "compact_agent", _COMPACT, _JSON, body=_COMPACTION
        ),
        ("get", "/context"): _operation(
            thread, "read_context", "What an agent's window holds, by part, with tokens", _JSON
        ),
    }  # fmt: skip


def _operation(
    thread: _Thread,
    name: str,
    summary: str,
    media: Sequence[str],
    description: str = "",
    body: str | None = None,
) -> dict[str, Any]:
    """`body`: the schema of the request's body, which a turn must have."""
    errors = {
        status: {"description": text.format(noun=thread.noun)}
        for status, text in _ERRORS.items()
        if body is not None or status in _ERRORS_WITHOUT_BODY
    }
    operation: dict[str, Any] = {
        "tags": ["turns"],
        "operationId": name,
        "summary": summary,
        "description": description,
        "parameters": [
            {
                "name": thread.parameter,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": thread.pattern},
            }
        ],
        "responses": {
            "200": {"description": summary, "content": {kind: {"schema": {}} for kind in media}},
            **errors,
        },
    }
    if body is not None:
        schema = {"$ref": f"#/components/schemas/{body}"}
        operation["requestBody"] = {
            "required": body == _TURN,
            "content": {"application/json": {"schema": schema}},
        }
    return operation
