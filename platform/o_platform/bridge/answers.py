"""Answers to `turn.open`: a turn to run, with what its runner lacks, or the outcome there is."""

from __future__ import annotations

from typing import Final

from o_contracts.bridge import TURN_OPEN, FinishedTurn, TurnCommit, TurnOpened
from o_platform.agents.past_runs import FinishedRun
from o_platform.bridge.turn import Opening, Turn
from o_platform.bridge.views import AgentView, shown_messages

_NOTHING: Final[list[str]] = []


def finished_run(turn: Turn, body: TurnCommit) -> FinishedRun:
    """What a turn that committed this is remembered by."""
    record = FinishedTurn(body.messages, body.stop_reason, body.usage, len(body.steps))
    return FinishedRun(turn.run_id, record)


def send_outcome(opening: Opening, finished: FinishedRun) -> None:
    """The request has an outcome already."""
    body = TurnOpened(finished.run_id, finished=finished.turn)
    opening.connection.reply(opening.exchange, TURN_OPEN, body)


def send_turn(turn: Turn, view: AgentView) -> None:
    """Run it; with the context, unless the runner has this very version of it."""
    opening = turn.opening
    if opening.request.have_version != view.version:
        _send_context(turn, view, shown_messages(view.base.model, opening.request.history))
        return
    body = TurnOpened(turn.run_id, view.version, turn.token, published=turn.published or _NOTHING)
    opening.connection.reply(opening.exchange, TURN_OPEN, body)


def _send_context(turn: Turn, view: AgentView, history: int) -> None:
    connection, exchange = turn.opening.connection, turn.opening.exchange
    context = view.shown(history)
    body = TurnOpened(
        turn.run_id, view.version, turn.token, context, published=turn.published or _NOTHING
    )
    if not context.messages:
        connection.reply(exchange, TURN_OPEN, body)
    elif not connection.try_reply(exchange, TURN_OPEN, body):
        # A history of very long messages: the newest half of them has to do.
        _send_context(turn, view, len(context.messages) // 2)
