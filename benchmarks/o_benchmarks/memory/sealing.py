"""What encryption at rest costs a turn: the same batches with sealed and with plain messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from o_benchmarks.memory.ground import cpu_us, new_vault, prepared
from o_contracts.bridge import StepRecord
from o_contracts.ids import new_id, now_us
from o_contracts.messages import Message, Usage
from o_platform.agents.stored_messages import StoredMessage, stored_message
from o_platform.agents.turn_batch import BATCH_OPTIONS, TurnRecord, TurnWriter
from o_platform.agents.turns import load_agent

AGENTS: Final = 32
"""Turns of a batch, as at a concurrency of 32."""
BATCHES: Final = 25
ROUNDS: Final = 5
LOADS: Final = 300
Store = Callable[[Message], StoredMessage]


class PlainMessage(msgspec.Struct, frozen=True):
    """A message as it was stored before it was sealed."""

    id: str
    type: str
    body: Message
    tool: str | None = None


async def sealing(url: str) -> dict[str, float]:
    """CPU microseconds per turn to make it durable, and per agent loaded with 60 messages."""
    agents, vault = prepared(url, AGENTS), new_vault()
    connection = await AsyncConnection.connect(url, autocommit=True, options=BATCH_OPTIONS)
    writer, server = await TurnWriter.on(connection), connection.info.backend_pid
    stores: dict[str, Store] = {"plain": _plain, "sealed": lambda m: stored_message(vault, m)}
    taken: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(ROUNDS):
        for name, store in stores.items():
            taken[name].append(await _round(writer, server, agents, store))
    figures = {f"turn_us.{name}": median(values) for name, values in taken.items()}
    pairs = zip(taken["sealed"], taken["plain"], strict=True)
    figures["turn_us.difference"] = median(sealed - plain for sealed, plain in pairs)
    reader = await AsyncConnection.connect(url, autocommit=True)
    began = time.process_time()
    for number in range(LOADS):
        await load_agent(reader, vault, agents[number % AGENTS], 60)
    figures["load_us"] = (time.process_time() - began) / LOADS * 1e6
    await reader.close()
    await writer.close()
    return figures


async def _round(writer: TurnWriter, server: int, agents: Sequence[str], store: Store) -> float:
    began, served = time.process_time(), cpu_us(server)
    for _ in range(BATCHES):
        await writer.write([_turn(agent, store) for agent in agents])
    own = (time.process_time() - began) * 1e6
    return (own + cpu_us(server) - served) / (BATCHES * len(agents))


def _turn(agent_id: str, store: Store) -> TurnRecord:
    run_id, usage = new_id("run"), Usage(40, 8)
    said = ("user_message", "hello there, how are you?"), ("assistant_message", "echo: hello")
    messages: list[Any] = [
        store(Message(new_id("message"), kind, now_us(), text, run_id=run_id))  # type: ignore[arg-type]
        for kind, text in said
    ]
    steps = [StepRecord(new_id("step"), "o/echo", usage, "end_turn", 12)]
    return TurnRecord(
        run_id, agent_id, f"request:{run_id}", "d" * 64, "completed", "end_turn", "v" * 64,
        "i" * 12, "", 40, 8, 0, 0, 1, 900, False, messages, steps,
    )  # fmt: skip


def _plain(message: Message) -> Any:
    return PlainMessage(message.id, message.type, message)
