"""A turn as it was asked for, and the messages that it begins with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from o_agent.approvals import Answers, Pending
from o_agent.message_ids import TurnIds
from o_agent.published import Publisher
from o_agent.turn_frame import Sink
from o_agent.validation import input_messages
from o_contracts.ids import now_us
from o_contracts.messages import Message, MessageType
from o_contracts.turns import InputMessage, TurnRequest

_INPUT_TYPES: Final[dict[str, MessageType]] = {
    "user": "user_message",
    "system": "system_message",
    "assistant": "assistant_message",
}


@dataclass(slots=True)
class TurnInput:
    """A turn as it was asked for, of an agent or one of its conversations (`thread_id`).

    `run_id` is known once it has been opened. `background` is the request's body if the turn goes
    on without its client; then `publisher` keeps its events.

    While it is being opened or committed it is not interruptible: giving up then would leave its
    fate to chance. `is_unwanted` says that the client went away; it ends at the next occasion.
    """

    thread_id: str
    request: TurnRequest
    request_id: str
    body_digest: str
    ids: TurnIds
    client: str = ""
    attempt: int = 1
    sdk_retry: int = 0
    sink: Sink | None = None
    run_id: str = ""
    is_interruptible: bool = True
    is_unwanted: bool = False
    answers: Answers | None = None
    background: str = ""
    publisher: Publisher | None = None
    received_us: int = field(default_factory=now_us)


def stored_inputs(turn: TurnInput, pending: Pending | None) -> list[Message]:
    """What the client sent as it is stored; its answers to calls that wait come first."""
    given = input_messages(turn.request)
    said = [
        _stored_input(turn, position, message)
        for position, message in enumerate(given)
        if not message.is_answer
    ]
    if turn.answers is None or pending is None:
        return said
    answer = Message(
        turn.ids.get("message", "answer"),
        "approval_response_message",
        turn.received_us,
        turn.answers.stored(pending),
        otid=next((message.otid for message in given if message.is_answer), None),
        run_id=turn.run_id,
    )
    return [answer, *said]


def _stored_input(turn: TurnInput, position: int, given: InputMessage) -> Message:
    return Message(
        turn.ids.get("message", "input", position),
        _INPUT_TYPES[given.role],
        turn.received_us,
        given.content or "",
        name=given.name,
        otid=given.otid,
        sender_id=given.sender_id,
        step_id=None if given.role == "assistant" else turn.ids.get("step", "step", 0),
        run_id=turn.run_id,
    )
