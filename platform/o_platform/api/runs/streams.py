"""`…/messages/async`, and the streams of runs that were begun in the background."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import Field

from o_agent.validation import InvalidRequest, parse_turn
from o_contracts.bridge import TurnOpen
from o_platform.agents import background_repository, history_repository
from o_platform.agents.background_service import NewRun
from o_platform.agents.request_keys import request_key
from o_platform.api.deps import (
    BackgroundDep,
    ConversationsDep,
    DatabaseDep,
    PlatformDep,
    SenderDep,
)
from o_platform.api.fields import AgentId, AgentPath, Input, RunId, Str, ThreadId
from o_platform.api.runs.following import BATCH, Following, follow
from o_platform.api.runs.schemas import RunState, background_state, run_state
from o_platform.db.models import Run
from o_platform.errors import BadInputError, NotFoundError
from o_platform.wiring import Platform

router = APIRouter(prefix="/v1", tags=["runs"])
RunPath = Annotated[RunId, Path()]
ThreadPath = Annotated[ThreadId, Path()]
CallbackUrl = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s]+$", max_length=2000)]
_callbacks = msgspec.json.Decoder(dict)


class NotInBackgroundError(BadInputError):
    """The run was not begun in the background, so nothing of its stream was kept."""

    code = "not_in_background"
    status = 400


class StreamBody(Input):
    """Body of a request for a run's stream."""

    agent_id: AgentId | None = None
    run_id: RunId | None = None
    otid: Str | None = None
    starting_after: int = Field(0, ge=0, le=2**31 - 1)
    include_pings: bool | None = True
    poll_interval: float | None = Field(None, ge=0.1, le=60)
    batch_size: int | None = Field(None, ge=1, le=10_000)

    def following(self) -> Following:
        """How to follow."""
        return Following(
            self.starting_after,
            self.include_pings is not False,
            self.poll_interval or 1.0,
            self.batch_size or BATCH,
        )


@router.post("/agents/{agent_id}/messages/async", include_in_schema=False)
async def create_background_run(
    agent_id: AgentPath, request: Request, background: BackgroundDep, sender: SenderDep
) -> RunState:
    """Run a turn in the background; answers at once, with the run."""
    raw = await request.body()
    try:
        turn = parse_turn(raw)
    except InvalidRequest as refusal:
        raise RequestValidationError(refusal.problems) from refusal
    body = _callbacks.decode(raw)
    callback_url = _callback_url(body.pop("callback_url", None))
    otids = [message.otid for message in turn.messages or [] if message.otid]
    run = await background.begin(NewRun(agent_id, body, otids, callback_url), sender)
    return run_state(run) if isinstance(run, Run) else background_state(run)


@router.post("/runs/{run_id}/stream")
async def stream_run(
    run_id: RunPath, platform: PlatformDep, database: DatabaseDep, body: StreamBody | None = None
) -> StreamingResponse:
    """The stream of a background run, from the beginning or after an event's `seq_id`."""
    async with database.unit_of_work() as session:
        if await background_repository.fetch_background(session, run_id) is None:
            run = await history_repository.fetch_run(session, run_id)
            raise _no_stream(run_id, is_run=run is not None)
    return _streamed(platform, run_id, body or StreamBody())


@router.post("/conversations/{conversation_id}/stream")
async def stream_conversation(
    conversation_id: ThreadPath,
    platform: PlatformDep,
    database: DatabaseDep,
    conversations: ConversationsDep,
    body: StreamBody | None = None,
) -> StreamingResponse:
    """The stream of a conversation's background run: the named one, else the newest."""
    body = body or StreamBody()
    thread = await conversations.thread(conversation_id, body.agent_id)
    if body.run_id is not None:
        return await stream_run(body.run_id, platform, database, body)
    async with database.unit_of_work() as session:
        key = None if body.otid is None else _request_key(thread.id, body.otid)
        row = await background_repository.newest_of_thread(session, thread.id, key)
        if row is None:
            raise NotFoundError(f"{thread.id} has no background run")
    return _streamed(platform, row.run_id, body)


def _streamed(platform: Platform, run_id: str, body: StreamBody) -> StreamingResponse:
    events = follow(platform.database, platform.run_news, run_id, body.following())
    return StreamingResponse(events, media_type="text/event-stream")


def _no_stream(run_id: str, *, is_run: bool) -> NotFoundError | NotInBackgroundError:
    if is_run:
        return NotInBackgroundError(
            f"{run_id} was not begun in the background; list its messages instead"
        )
    return NotFoundError(f"no background run has the id {run_id!r}", run_id=run_id)


def _request_key(thread_id: str, otid: str) -> str:
    return request_key(TurnOpen(thread_id, "", "", otids=[otid]))


def _callback_url(value: object) -> str | None:
    try:
        return msgspec.convert(value, CallbackUrl | None)
    except msgspec.ValidationError as error:
        problem = {"loc": ["body", "callback_url"], "msg": str(error), "type": "value_error"}
        raise RequestValidationError([problem]) from error
