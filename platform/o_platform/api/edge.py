"""What every request passes before it is routed: limits, one form of its path, an answer always.

An exception is answered here, if nobody within has done so: were it raised further, the server
would close the connection, on which the proxy may be sending somebody else's request already.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from o_platform.api.errors import error_answer
from o_platform.traffic.routes import UPLOAD_PATH
from o_platform.wiring.demand import Demand

_UPLOAD = re.compile(UPLOAD_PATH)
_NUL = JSONResponse(
    {"detail": "the NUL character (%00) cannot be part of a path or a query", "code": "bad_input"},
    422,
)


class Answered:
    """ASGI middleware: an exception becomes an answer, unless one has begun.

    The framework has it within its own, which would raise what it has answered.
    """

    def __init__(self, app: ASGIApp) -> None:
        """What `app` raises is answered."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        began = False

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if began or scope["type"] != "http":
                raise
            response = await error_answer(Request(scope), error)
            await response(scope, receive, send)


class Edge:
    """ASGI middleware: `/v1/agents/` is `/v1/agents`, and no body is larger than the limit."""

    def __init__(
        self, app: ASGIApp, demand: Demand, *, max_body_bytes: int, max_upload_bytes: int
    ) -> None:
        """The limits hold for announced and for streamed bodies; `demand` counts what passes."""
        self._app = app
        self._demand = demand
        self._answered = Answered(app)
        self._limits = {False: max_body_bytes, True: max_upload_bytes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._demand.requests += 1
        if b"%00" in scope["query_string"] or "\0" in scope["path"]:
            await _NUL(scope, receive, send)
            return
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/") or "/"}
        is_upload = _UPLOAD.fullmatch(scope["path"]) is not None
        if _announced_bytes(scope) > self._limits[is_upload]:
            response = JSONResponse(
                {"detail": self._too_large(is_upload), "code": "too_large"},
                413,
                {"connection": "close"},
            )
            await response(scope, receive, send)
            return
        await self._answered(scope, self._limited(receive, is_upload), send)

    def _limited(self, receive: Receive, is_upload: bool) -> Receive:
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limits[is_upload]:
                raise HTTPException(413, self._too_large(is_upload))
            return message

        return limited

    def _too_large(self, is_upload: bool) -> str:
        name = "O_MAX_UPLOAD_BYTES" if is_upload else "O_MAX_BODY_BYTES"
        return f"the request body exceeds {self._limits[is_upload]} bytes ({name})"


def _announced_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
