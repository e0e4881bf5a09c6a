"""What the Letta API has and this server does not: 501 with a sentence, never a 404.

`NOT_OFFERED` is the one table; the routes are generated from it after all others, so offering
something means to add its route and to delete its line here (a test holds the two against the SDK).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

from fastapi import FastAPI, Request, Response

from o_platform.errors import NotOfferedError

_ELSEWHERE: Final = (
    "turns are answered by instances: send this to the listener (`o status` prints its URL), not "
    "to the control plane's own socket"
)
_CLOUD: Final = "this exists in Letta's cloud only and is not offered by this server"
_GROUPS: Final = (
    "the only groups on offer are those that `enable_sleeptime` of an agent makes; messages go to "
    "their agents"
)
_AGENT: Final = "/v1/agents/{agent_id}"
_CONVERSATION: Final = "/v1/conversations/{conversation_id}"


class NotOffered(NamedTuple):
    """Methods of a path that answer 501, and the sentence that says why."""

    methods: str
    path: str
    sentence: str


NOT_OFFERED: Final = (
    NotOffered("POST", _AGENT + "/messages", _ELSEWHERE),
    NotOffered("POST", _AGENT + "/messages/stream", _ELSEWHERE),
    NotOffered("POST", _AGENT + "/summarize", _ELSEWHERE),
    NotOffered("POST", _AGENT + "/recompile", _ELSEWHERE),
    NotOffered("GET", _AGENT + "/context", _ELSEWHERE),
    NotOffered("GET POST", "/v1/client-side-access-tokens", _CLOUD),
    NotOffered("DELETE", "/v1/client-side-access-tokens/{token}", _CLOUD),
    NotOffered("GET", "/v1/environments", _CLOUD),
    NotOffered("GET", "/v1/environments/{device_id}", _CLOUD),
    NotOffered("POST", "/v1/environments/{connection_id}/messages", _CLOUD),
    NotOffered("POST", "/v1/templates", _CLOUD),
    NotOffered("PATCH DELETE", "/v1/templates/{template_name}", _CLOUD),
    NotOffered("POST", "/v1/templates/{template_name}/{action}", _CLOUD),
    NotOffered("POST", "/v1/groups", _GROUPS),
    NotOffered("GET POST PATCH DELETE", "/v1/groups/{group_id}/{rest:path}", _GROUPS),
    NotOffered("PUT", "/v1/identities/{identity_id}/properties", "update the identity instead"),
    NotOffered("GET POST", "/v1/providers", "set provider keys in the environment instead"),
    NotOffered("GET POST PATCH DELETE", "/v1/providers/{rest:path}", "set provider keys in the "
               "environment instead"),
    NotOffered("GET", "/v1/jobs", "jobs are not offered; see runs"),
    NotOffered("GET PATCH DELETE", "/v1/jobs/{rest:path}", "jobs are not offered; see runs"),
)  # fmt: skip
"""Every path of the SDK, and of the server behind it, that answers 501."""


def add_not_offered(app: FastAPI, rows: Iterable[NotOffered] = NOT_OFFERED) -> None:
    """Answer 501 for each row; call after every other route was added."""
    for row in rows:
        app.add_api_route(
            row.path,
            _refusing(row.sentence),
            methods=row.methods.split(),
            include_in_schema=False,
        )


def _refusing(sentence: str) -> Callable[[Request], Awaitable[Response]]:
    async def refuse(request: Request) -> Response:
        raise NotOfferedError(sentence)

    return refuse
