"""`POST /v1/responses`: a turn of the agent whose id is the `model`, and reading it again.

A response is a run, and its id is the run's: the agent keeps the conversation, so that
`previous_response_id` need only name a run of the same agent.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import UUID_PATTERN
from o_platform.agents import history_repository
from o_platform.agents.paging import Page
from o_platform.agents.turn_client import Sender, TurnClient, TurnRefusedError
from o_platform.api.deps import DatabaseDep, SenderDep, TurnsDep
from o_platform.api.fields import AgentId, Input, Str
from o_platform.api.messages.endpoints import shown
from o_platform.api.messages.wire import MessageView
from o_platform.api.openai import replies
from o_platform.api.openai.errors import OpenAiRoute, error_body
from o_platform.api.openai.inputs import new_messages
from o_platform.api.openai.streams import started
from o_platform.db.engine import Database
from o_platform.db.models import Run
from o_platform.errors import BadInputError, NotFoundError, OError

router = APIRouter(prefix="/v1/responses", tags=["openai"], route_class=OpenAiRoute)
ResponseId = Annotated[str, StringConstraints(pattern=f"^resp_{UUID_PATTERN}$")]
MAX_MESSAGES_OF_RUN = 10_000


class InputItem(Input):
    """A message of the conversation; other items are not taken."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Str | list[dict[str, Any]]


class ResponseRequest(Input):
    """What is acted on; sampling parameters are the agent's own and ignored here."""

    model: AgentId = Field(description="the id of an agent")
    input: Str | Annotated[list[InputItem], Field(min_length=1)]
    instructions: Str | None = None
    previous_response_id: ResponseId | None = None
    stream: bool | None = False
    background: bool | None = None
    tools: list[dict[str, Any]] | None = None
    metadata: dict[str, Str] | None = None

    def turn(self) -> dict[str, Any]:
        """The body of the turn.

        Raises:
            BadInputError: it asks for what an agent cannot do.
        """
        if self.tools:
            raise BadInputError("an agent has its own tools; attach them to it instead of `tools`")
        if self.background:
            raise BadInputError("run turns in the background by `/v1/agents/{id}/messages/async`")
        given = self.input
        said = [("user", given)] if isinstance(given, str) else [(i.role, i.content) for i in given]
        first = [{"role": "system", "content": self.instructions}] if self.instructions else []
        return {"messages": [*first, *new_messages(said)]}


@router.post("", response_model=None)
async def create_response(
    body: ResponseRequest, turns: TurnsDep, sender: SenderDep, database: DatabaseDep
) -> Response:
    """Run a turn of an agent; only what follows the last reply in `input` is new to it."""
    turn = body.turn()
    if body.previous_response_id is not None:
        await _require_own(database, body.previous_response_id, body.model)
    if body.stream:
        return await started(_Stream(body).events(turns, turn, sender))
    reply = replies.reply_of(await turns.send(body.model, turn, sender))
    return JSONResponse(_response(body.model, reply, _now(), body.metadata))


@router.get("/{response_id}", response_model=None)
async def retrieve_response(
    response_id: Annotated[ResponseId, Path()], database: DatabaseDep
) -> Response:
    """A response, read again from its run."""
    async with database.unit_of_work() as session:
        run = await _run(session, response_id)
        page = Page(limit=MAX_MESSAGES_OF_RUN, before=None, after=None, descending=False)
        rows = await history_repository.list_run_messages(session, run.id, page)
    turn = {
        "messages": shown(rows, MessageView(assistant_tool="send_message")),
        "stop_reason": {"stop_reason": run.stop_reason},
        "usage": _stored_usage(run),
    }
    reply = replies.reply_of(turn)
    return JSONResponse(_response(run.agent_id, reply, int(run.created_at.timestamp()), None))


def _stored_usage(run: Run) -> dict[str, Any]:
    return {
        "run_ids": [run.id],
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": run.completion_tokens,
        "total_tokens": run.prompt_tokens + run.completion_tokens,
        "cached_input_tokens": run.cached_input_tokens,
        "reasoning_tokens": run.reasoning_tokens,
    }


async def _require_own(database: Database, response_id: str, agent_id: str) -> None:
    async with database.unit_of_work() as session:
        run = await _run(session, response_id)
    if run.agent_id != agent_id:
        raise BadInputError(f"{response_id} is a response of {run.agent_id}, not of {agent_id}")


async def _run(session: AsyncSession, response_id: str) -> Run:
    run = await history_repository.fetch_run(session, "run-" + response_id.removeprefix("resp_"))
    if run is None:
        raise NotFoundError(f"no response has the id {response_id!r}")
    return run


def _response(
    model: str, reply: replies.Reply, created: int, metadata: dict[str, str] | None
) -> dict[str, Any]:
    status = "incomplete" if reply.is_cut else "completed"
    body = _envelope(model, reply.run_id, created, status, metadata)
    if reply.is_cut:
        body["incomplete_details"] = {"reason": "max_output_tokens"}
    return body | {"output": _output(reply, "completed"), "usage": _usage(reply.usage)}


def _envelope(
    model: str, run_id: str, created: int, status: str, metadata: dict[str, str] | None
) -> dict[str, Any]:
    return {
        "id": f"resp_{replies.bare(run_id)}",
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": metadata or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": False,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }


def _output(reply: replies.Reply, status: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        run_id = replies.bare(reply.run_id)
        items.append({"id": f"rs_{run_id}", "type": "reasoning", "summary": summary})
    return [*items, _message(reply.run_id, [_text_part(reply.text)], status)]


def _message(run_id: str, parts: list[dict[str, Any]], status: str) -> dict[str, Any]:
    return {
        "id": f"msg_{replies.bare(run_id)}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": parts,
    }


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
        "input_tokens_details": {"cached_tokens": usage["cached_input_tokens"] or 0},
        "output_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"] or 0},
    }


def _now() -> int:
    return int(datetime.now(UTC).timestamp())


class _Stream:
    """The events of one streamed turn, in the order that the Responses API gives them."""

    def __init__(self, body: ResponseRequest) -> None:
        self._body = body
        self._created = _now()
        self._sequence = -1
        self._reply = replies.Reply("", "", "", "end_turn", {})

    async def events(
        self, turns: TurnClient, turn: dict[str, Any], sender: Sender
    ) -> AsyncIterator[bytes]:
        model = self._body.model
        async with turns.stream(model, turn | {"stream_tokens": True}, sender) as events:
            try:
                async for event in events:
                    for told in self._tell(event):
                        yield told
                for told in self._end():
                    yield told
            except (OError, TurnRefusedError) as error:
                failure = error_body(error)["error"]
                yield self._event("error", failure)

    def _tell(self, event: dict[str, Any]) -> list[bytes]:
        failure = replies.failure_of(event)
        if failure is not None:
            raise failure
        kind = event.get("message_type")
        told = self._begin(event) if not self._reply.run_id else []
        field, text = replies.piece_of(event)
        if field == "content" and text:
            self._reply = replace(self._reply, text=self._reply.text + text)
            place = self._place() | {"content_index": 0, "delta": text, "logprobs": []}
            told.append(self._event("response.output_text.delta", place))
        elif field == "reasoning":
            self._reply = replace(self._reply, reasoning=self._reply.reasoning + text)
        elif kind == "stop_reason":
            self._reply = replace(self._reply, stop_reason=event["stop_reason"])
        elif kind == "usage_statistics":
            self._reply = replace(self._reply, usage=event)
        return told

    def _begin(self, event: dict[str, Any]) -> list[bytes]:
        """The first event of a turn carries its run."""
        self._reply = replace(self._reply, run_id=str(event.get("run_id") or ""))
        body = self._envelope("in_progress")
        item = _message(self._reply.run_id, [], "in_progress")
        part = self._place() | {"content_index": 0, "part": _text_part("")}
        return [
            self._event("response.created", {"response": body}),
            self._event("response.in_progress", {"response": body}),
            self._event("response.output_item.added", {"output_index": 0, "item": item}),
            self._event("response.content_part.added", part),
        ]

    def _end(self) -> list[bytes]:
        reply = self._reply
        place = self._place() | {"content_index": 0}
        part = _text_part(reply.text)
        item = _message(reply.run_id, [part], "completed")
        whole = _response(self._body.model, reply, self._created, self._body.metadata)
        done = "response.incomplete" if reply.is_cut else "response.completed"
        text = place | {"text": reply.text, "logprobs": []}
        return [
            self._event("response.output_text.done", text),
            self._event("response.content_part.done", place | {"part": part}),
            self._event("response.output_item.done", {"output_index": 0, "item": item}),
            self._event(done, {"response": whole}),
        ]

    def _envelope(self, status: str) -> dict[str, Any]:
        metadata = self._body.metadata
        return _envelope(self._body.model, self._reply.run_id, self._created, status, metadata)

    def _place(self) -> dict[str, Any]:
        return {"item_id": f"msg_{replies.bare(self._reply.run_id)}", "output_index": 0}

    def _event(self, kind: str, body: dict[str, Any]) -> bytes:
        self._sequence += 1
        data = json.dumps({"type": kind, "sequence_number": self._sequence} | body)
        return f"event: {kind}\ndata: {data}\n\n".encode()
