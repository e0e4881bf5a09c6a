"""Messages of turns to other agents: sent once, by stable and canary turns alone.

A message is a background run of the agent that gets it. What came of it is in the journal of the
turn that sent it before that goes on; until then a call that is made again finds the same run. Who
led to a message is in the name of the client for whom such runs are.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

import msgspec
from psycopg import AsyncConnection

from o_contracts.bridge import ToolCallRequest, ToolCallResult
from o_contracts.messages import Message, ToolReturn
from o_platform.agents.agent_messages import Addressee, Sent, find_named, find_tagged, outcome, send
from o_platform.agents.past_runs import FinishedRun
from o_platform.bridge.host_calls import known_result
from o_platform.bridge.journal import keep
from o_platform.bridge.memo import digest_tool
from o_platform.bridge.postgres import Postgres
from o_platform.bridge.records import Records
from o_platform.bridge.turn import Turn
from o_platform.db.sealing import Vault
from o_platform.errors import OError
from o_tools.agents import (
    SendMessageToAgentAndWaitForReply,
    SendMessageToAgentAsync,
    SendMessageToAgentsMatchingTags,
)
from o_tools.errors import ToolError
from o_tools.queries import SendMessage

CLIENT: Final = "agents:"
"""Before the agents that led to a run, in the name of the client for whom it is."""
DEEPEST: Final = 8
"""Messages that lead to each other; agents that answer each other for ever end here."""
MOST_ADDRESSEES: Final = 50
REPLY_WAIT_S: Final = 240.0
"""Longest wait for a reply; an instance waits 300 s for a tool."""
LOOK_S: Final = 10.0
"""How often to look for an end that was not heard of."""
_WAIT_S: Final = 10.0
_WAITS: Final = "It waits for your answer: what you say is what it gets."
_GOES_ON: Final = "It does not wait for an answer; `send_message_to_agent_async` reaches it."
Wanted = (
    SendMessageToAgentAsync | SendMessageToAgentAndWaitForReply | SendMessageToAgentsMatchingTags
)


class AgentMessages:
    """Answers calls of the tools by which agents talk to each other."""

    def __init__(self, postgres: Postgres, vault: Vault) -> None:
        """`vault` seals requests and opens replies."""
        self._postgres = postgres
        self._vault = vault
        self._waiting: dict[str, set[Future[None]]] = {}

    def heard(self, run_ids: Iterable[str]) -> None:
        """These background runs were begun or have ended: look at them."""
        for run_id in run_ids:
            for waiting in self._waiting.get(run_id, ()):
                if not waiting.done():
                    waiting.set_result(None)

    async def call(
        self, turn: Turn, records: Records, exchange: int, request: ToolCallRequest, wanted: Wanted
    ) -> ToolCallResult:
        """Send what is to be sent, or answer what was answered before.

        Raises:
            ToolError: there is no such agent, or it did not answer.
            OError: the turn was cancelled, or the database is away.
        """
        digest = digest_tool(request.name, request.arguments)
        known = await known_result(records.paid(turn), turn.memo, "tool", request.seq, digest, str)
        if known is None:
            if not turn.opening.caller.is_durable:
                raise ToolError(f"{request.name}: no other agent is reached from here")
            known = await self._answer(turn, exchange, wanted, _name(turn, request.seq, digest))
            await keep(self._postgres, self._vault, turn, "tool", request.seq, digest, known)
        return ToolCallResult(ToolReturn(request.tool_call_id, "success", known))

    async def _answer(self, turn: Turn, exchange: int, wanted: Wanted, request_id: str) -> str:
        before = _led_by(turn)
        if len(before) >= DEEPEST:
            raise ToolError(
                f"{DEEPEST} agents have written to each other one after the other; answer with "
                "what you have"
            )
        to = await self._addressees(turn, wanted)
        is_async = isinstance(wanted, SendMessageToAgentAsync)
        if not is_async and (known := [one.name for one in to if one.id in before]):
            raise ToolError(f"{known[0]} may wait for you already; say it in your answer")
        text = _letter(turn, wanted.message, _GOES_ON if is_async else _WAITS)
        client = CLIENT + ",".join([*before, turn.agent_id])
        sent = await self._postgres.run(
            lambda c: send(c, self._vault, to, text, request_id, client), wait_s=_WAIT_S
        )
        if is_async:
            return f"The message is on its way to {to[0].name}."
        with _stoppable(turn, exchange) as stopped:
            if isinstance(wanted, SendMessageToAgentAndWaitForReply):
                return await self._reply(sent[0], stopped)
            replies = await asyncio.gather(*(self._reply_of_many(one, stopped) for one in sent))
        named = [
            {"agent_id": one.to.id, "name": one.to.name, "reply": reply}
            for one, reply in zip(sent, replies, strict=True)
        ]
        return msgspec.json.encode(named).decode()

    async def _addressees(self, turn: Turn, wanted: Wanted) -> Sequence[Addressee]:
        sender = turn.agent_id
        if isinstance(wanted, SendMessageToAgentsMatchingTags):
            every, some = wanted.match_all, wanted.match_some
            if not every and not some:
                raise ToolError("say which tags the agents have, in match_all or match_some")
            found = await self._postgres.run(
                lambda c: find_tagged(c, sender, every, some, MOST_ADDRESSEES + 1), wait_s=_WAIT_S
            )
            if len(found) > MOST_ADDRESSEES:
                raise ToolError(f"more than {MOST_ADDRESSEES} agents have these tags; name more")
            if not found:
                raise ToolError("no other agent has these tags")
            return found
        other = wanted.other_agent_id
        if other == sender:
            raise ToolError(f"{other} is you; name another agent")
        found = await self._postgres.run(lambda c: find_named(c, [other]), wait_s=_WAIT_S)
        if not found:
            raise ToolError(f"there is no agent {other!r}")
        return found

    async def _reply_of_many(self, sent: Sent, stopped: Future[None]) -> str:
        try:
            return await self._reply(sent, stopped)
        except ToolError as error:
            return f"Error: {error}"

    async def _reply(self, sent: Sent, stopped: Future[None]) -> str:
        """What the addressee says, or why it says nothing."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + REPLY_WAIT_S
        while True:
            changed: Future[None] = loop.create_future()
            self._waiting.setdefault(sent.run_id, set()).add(changed)
            try:
                found = await self._postgres.run(self._look_at(sent), wait_s=_WAIT_S)
                if found is not None:
                    return _said(sent.to, found)
                left_s = min(LOOK_S, deadline - loop.time())
                if left_s <= 0:
                    raise ToolError(f"{sent.to.name} has not answered within {REPLY_WAIT_S:g} s")
                await asyncio.wait(
                    {changed, stopped}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
                )
                if stopped.done():
                    stopped.result()
            finally:
                self._waiting[sent.run_id].discard(changed)
                if not self._waiting[sent.run_id]:
                    del self._waiting[sent.run_id]

    def _look_at(
        self, sent: Sent
    ) -> Callable[[AsyncConnection], Awaitable[FinishedRun | str | None]]:
        return lambda connection: outcome(connection, self._vault, sent)


@contextmanager
def _stoppable(turn: Turn, exchange: int) -> Iterator[Future[None]]:
    """A future that fails when the turn is cancelled."""
    stopped: Future[None] = asyncio.get_running_loop().create_future()

    def stop(error: OError) -> None:
        if not stopped.done():
            stopped.set_exception(error)

    turn.stop_with(exchange, stop)
    try:
        yield stopped
    finally:
        turn.forget_stop(exchange)
        if stopped.done():
            stopped.exception()  # it was seen
        stopped.cancel()


def _name(turn: Turn, seq: int, digest: str) -> str:
    """The id of the request that a call sends, the same whenever it is made again."""
    call = msgspec.json.encode([*turn.key, seq, digest])
    return "agents-" + blake2b(call, digest_size=16).hexdigest()


def _led_by(turn: Turn) -> list[str]:
    """The agents whose messages led to the turn, the first one first."""
    client = turn.opening.request.client
    return client.removeprefix(CLIENT).split(",") if client.startswith(CLIENT) else []


def _letter(turn: Turn, message: str, how: str) -> str:
    sender = turn.opened_view.base
    return f"This is from the agent {sender.name!r} ({sender.agent_id}). {how}\n\n{message}"


def _said(to: Addressee, found: FinishedRun | str) -> str:
    if isinstance(found, str):
        raise ToolError(f"{to.name} failed: {found}")
    if found.turn.stop_reason == "cancelled":
        raise ToolError(f"{to.name} was stopped before it answered")
    said = [text for message in found.turn.messages for text in _texts(message)]
    return "\n".join(said) or f"{to.name} has said nothing."


def _texts(message: Message) -> Iterator[str]:
    """What a message says to whoever wrote to the agent: older types say it by a tool."""
    if message.type == "assistant_message":
        yield message.text
    for call in message.tool_calls or ():
        if call.name == "send_message":
            yield _sent_text(call.arguments)


def _sent_text(arguments: str) -> str:
    try:
        return msgspec.json.decode(arguments, type=SendMessage).message
    except msgspec.MsgspecError:
        return ""
