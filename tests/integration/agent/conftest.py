"""A real instance (the zygote as a process) against a frame server that stands in for the bridge.

The server keeps agents, records and a memo of LLM replies by request, as the bridge does, in memory
that survives its own restarts. It runs on a thread of its own, so that tests may use blocking
clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from o_contracts import bridge
from o_contracts.frames import (
    INITIAL_CREDIT,
    Empty,
    ErrorBody,
    Frame,
    FrameDecoder,
    Kind,
    encode_frame,
)
from o_contracts.ids import new_agent_id, new_id
from o_contracts.llm import LlmDelta, LlmRequest, LlmResult
from o_contracts.messages import AgentContext, Block, ToolReturn, ToolSpec, Usage
from o_platform.testing.listening import close_server

SEED_GENOME = Path(__file__).parents[3] / "agent_images" / "genomes" / "default"
MEMORY_INSERT = ToolSpec(
    "memory_insert",
    "Append a line to a block.",
    {"type": "object", "properties": {"label": {"type": "string"}, "text": {"type": "string"}}},
)

Reply = LlmResult | ErrorBody | tuple[list[LlmDelta], LlmResult]


def echo(request: LlmRequest) -> Reply:
    """What the built-in model `o/echo` answers."""
    said = [str(message.content) for message in request.messages if message.role == "user"]
    text = f"echo: {said[-1]}"
    result = LlmResult(text, usage=Usage(prompt_tokens=7, completion_tokens=3), model="o/echo")
    if not request.stream:
        return result
    return [LlmDelta(text=part) for part in text.split(" ")], result


class FrameBridge:
    """The bridge's side of the frame protocol, on one socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.llm: Callable[[LlmRequest], Reply] = echo
        self.fail_next: dict[str, list[ErrorBody]] = {}
        self.hold = threading.Event()
        """Cleared: LLM calls wait in the bridge."""
        self.hold.set()
        self.waiting = threading.Event()
        self.agents: dict[str, AgentContext] = {}
        self.opened: list[bridge.TurnOpen] = []
        self.hellos: list[bridge.Hello] = []
        self.llm_requests: list[LlmRequest] = []
        self.tool_calls: list[bridge.ToolCallRequest] = []
        self.host_calls: list[bridge.HostCallRequest] = []
        self.commits: list[bridge.TurnCommit] = []
        self.abandoned: list[bridge.TurnAbandon] = []
        self.published: list[bridge.TurnPublish] = []
        self.published_before: list[str] = []
        """What opened turns are told that others have published."""
        self.cancelled_while_watched = False
        """A client cancels each turn as soon as somebody watches out for that."""
        self.run_id = ""
        """Of every turn, if it is set."""
        self.cancelled = threading.Event()
        self.granted = 0
        self._records: dict[str, tuple[str, bridge.FinishedTurn]] = {}
        self._memo: dict[tuple[str, int], LlmResult] = {}
        self._running: dict[int, str] = {}
        self._next_token = 0
        self._is_up = False
        self._answers: set[asyncio.Task[None]] = set()
        self._credit: dict[tuple[int, int], asyncio.Semaphore] = {}
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self) -> None:
        """Listen."""
        self._run(self._start())

    def stop(self) -> None:
        """Go away as a killed process does: the listener and every connection."""
        self._run(self._stop())

    def close(self) -> None:
        self.hold.set()
        self.stop()
        self._run(self._drain())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add_agent(self, **fields: Any) -> str:
        """Make an agent; returns its id."""
        agent_id = new_agent_id(1)
        given: dict[str, Any] = {
            "name": "test",
            "agent_type": "letta_v1_agent",
            "system": "You are a test.",
            "model": "o/echo",
            "model_settings": {},
            "blocks": [Block(new_id("block"), "human", "Name: Ada", 100)],
            "tools": [],
            "messages": [],
        }
        self.agents[agent_id] = AgentContext(agent_id=agent_id, version=1, **(given | fields))
        return agent_id

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._is_up = True
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def _stop(self) -> None:
        self._is_up = False
        if self._server is not None:
            await close_server(self._server)
        for writer in list(self._writers):
            writer.transport.abort()
        for task in self._answers:
            task.cancel()
        self._running.clear()

    async def _drain(self) -> None:
        async with asyncio.timeout(5):
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)  # what was being accepted makes further tasks
        await asyncio.sleep(0)  # aborted transports close their sockets in the next round

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_up:  # accepted just before
            writer.transport.abort()
            return
        self._writers.add(writer)
        decoder = FrameDecoder()
        tasks: dict[int, asyncio.Task[None]] = {}
        try:
            while data := await reader.read(65536):
                for frame in decoder.feed(data):
                    if frame.kind == Kind.REQUEST:
                        task = asyncio.ensure_future(self._answer(frame, writer))
                        self._answers.add(task)
                        task.add_done_callback(self._answers.discard)
                        tasks[frame.id] = task
                    elif frame.kind == Kind.CANCEL:
                        tasks[frame.id].cancel()
                        self.cancelled.set()
                    else:
                        self._grant(writer, frame)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        handlers = {
            bridge.HELLO: self._hello,
            bridge.TURN_OPEN: self._open,
            bridge.LLM_COMPLETE: self._complete,
            bridge.TOOL_CALL: self._call_tool,
            bridge.HOST_CALL: self._call_host,
            bridge.TURN_COMMIT: self._commit,
            bridge.TURN_ABANDON: self._abandon,
            bridge.TURN_PUBLISH: self._publish,
            bridge.TURN_WATCH: self._watch,
        }
        failures = self.fail_next.get(frame.op)
        answer = failures.pop(0) if failures else await handlers[frame.op](frame.body)
        kind = Kind.ERROR if isinstance(answer, ErrorBody) else Kind.REPLY
        if isinstance(answer, tuple):
            deltas, answer = answer
            credit = self._credit_of(writer, frame)
            for delta in deltas:
                await credit.acquire()
                writer.write(encode_frame(Kind.CHUNK, frame.id, frame.op, delta))
            kind = Kind.END
        writer.write(encode_frame(kind, frame.id, frame.op, answer))

    def _credit_of(self, writer: asyncio.StreamWriter, frame: Frame) -> asyncio.Semaphore:
        return self._credit.setdefault((id(writer), frame.id), asyncio.Semaphore(INITIAL_CREDIT))

    def _grant(self, writer: asyncio.StreamWriter, frame: Frame) -> None:
        for _ in range(msgspec.msgpack.decode(frame.body, type=int)):
            self._credit_of(writer, frame).release()
            self.granted += 1

    async def _hello(self, body: msgspec.Raw) -> bridge.Welcome:
        hello = msgspec.msgpack.decode(body, type=bridge.Hello)
        self.hellos.append(hello)
        return bridge.Welcome(1, "instance-1", "stable", hello.variant, 4 << 20)

    async def _open(self, body: msgspec.Raw) -> object:
        opening = msgspec.msgpack.decode(body, type=bridge.TurnOpen)
        self.opened.append(opening)
        if opening.request_id in self._records:
            run_id, finished = self._records[opening.request_id]
            return bridge.TurnOpened(run_id, finished=finished)
        context = self.agents.get(opening.agent_id)
        if context is None:
            return ErrorBody("not_found", f"there is no agent {opening.agent_id}", 404)
        self._next_token += 1
        self._running[self._next_token] = opening.request_id
        shown = None if opening.have_version == context.version else context
        return bridge.TurnOpened(
            self.run_id or new_id("run"),
            context.version,
            self._next_token,
            shown,
            published=self.published_before,
        )

    async def _complete(self, body: msgspec.Raw) -> object:
        request = msgspec.msgpack.decode(body, type=LlmRequest)
        self.llm_requests.append(request)
        key = (self._running[request.token], request.seq)
        if key in self._memo:
            return self._memo[key]
        answer = self.llm(request)
        if not self.hold.is_set():
            self.waiting.set()
            await asyncio.get_running_loop().run_in_executor(None, self.hold.wait)
        if not isinstance(answer, ErrorBody):
            self._memo[key] = answer[1] if isinstance(answer, tuple) else answer
        return answer

    async def _call_host(self, body: msgspec.Raw) -> object:
        call = msgspec.msgpack.decode(body, type=bridge.HostCallRequest)
        self.host_calls.append(call)
        if call.name == "memory.read":
            return bridge.HostCallResult("ok", '"Ada"')
        return bridge.HostCallResult("error", error=f"no {call.name} here")

    async def _call_tool(self, body: msgspec.Raw) -> object:
        call = msgspec.msgpack.decode(body, type=bridge.ToolCallRequest)
        self.tool_calls.append(call)
        if call.name != "memory_insert":
            return bridge.ToolCallResult(ToolReturn(call.tool_call_id, "success", "done"))
        given = json.loads(call.arguments)
        block = Block(new_id("block"), given["label"], given["text"], 100, version=2)
        return bridge.ToolCallResult(ToolReturn(call.tool_call_id, "success", "inserted"), [block])

    async def _commit(self, body: msgspec.Raw) -> object:
        commit = msgspec.msgpack.decode(body, type=bridge.TurnCommit)
        request_id = self._running.pop(commit.token)
        self.commits.append(commit)
        finished = bridge.FinishedTurn(
            commit.messages, commit.stop_reason, commit.usage, len(commit.steps)
        )
        self._records[request_id] = (commit.run_id, finished)
        old = self.agents[commit.agent_id]
        new = msgspec.structs.replace(
            old, version=old.version + 1, messages=[*old.messages, *commit.messages]
        )
        self.agents[commit.agent_id] = new
        return bridge.TurnCommitted(new.version)

    async def _watch(self, body: msgspec.Raw) -> object:
        if not self.cancelled_while_watched:
            await asyncio.get_running_loop().create_future()
        return ErrorBody(bridge.CANCELLED, "it was cancelled", 409)

    async def _publish(self, body: msgspec.Raw) -> Empty:
        self.published.append(msgspec.msgpack.decode(body, type=bridge.TurnPublish))
        return Empty()

    async def _abandon(self, body: msgspec.Raw) -> Empty:
        abandon = msgspec.msgpack.decode(body, type=bridge.TurnAbandon)
        self.abandoned.append(abandon)
        self._running.pop(abandon.token, None)
        return Empty()


class Instance:
    """A running instance and its log."""

    def __init__(self, folder: Path, genome: Path, variables: dict[str, str]) -> None:
        self.socket = folder / "agent.sock"
        self.log = folder / "instance.log"
        self.logs = [self.log]
        """Shown when a wait fails."""
        environment = os.environ | {
            "O_AGENT_SOCKET": str(self.socket),
            "O_BRIDGE_SOCKET": str(folder / "bridge.sock"),
            "O_GENOME": str(genome),
            "O_VARIANT": "0" * 64,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "o_agent"], env=environment | variables, stderr=log
            )
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://o", timeout=30
        )

    def notes(self) -> str:
        """The logs, for a failure's message."""
        return "\n".join(path.read_text() for path in self.logs)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_ready(self, limit_s: float = 10.0) -> None:
        """Wait until `/healthz` is 200."""
        wait_for(self._is_healthy, limit_s, self.notes)

    def wait_unready(self) -> None:
        """Wait until `/healthz` is not 200."""
        wait_for(lambda: not self._is_healthy(), 5, self.notes)

    def active_pid(self) -> int:
        """The worker that was promoted last."""
        self.wait_message("is active")
        return int([line for line in self.lines() if "is active" in line["message"]][-1]["worker"])

    def wait_active(self, other_than: int) -> int:
        """Wait until another worker than this is active."""
        wait_for(lambda: self.active_pid() != other_than, 10, self.notes)
        return self.active_pid()

    def spare_pid(self) -> int:
        """A worker that is ready and not promoted."""
        wait_for(lambda: self.named("o-spare") != [], 10, self.notes)
        return self.named("o-spare")[0]

    def wait_message(self, text: str) -> None:
        """Wait until a line of the log says this."""
        wait_for(lambda: text in self.log.read_text(), 10, self.notes)

    def wait_gone(self, pids: list[int]) -> None:
        """Wait until none of these processes runs."""
        wait_for(lambda: not any(map(_runs, pids)), 10, self.notes)

    def children(self) -> list[int]:
        pid = self.process.pid
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in listed.split()]

    def named(self, name: str) -> list[int]:
        """The child processes that are called this in `ps`."""
        named = []
        for pid in self.children():
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                named.append(pid)
        return named

    def send(self, agent_id: str, body: object, **headers: str) -> httpx.Response:
        """Post a turn."""
        path = f"/v1/agents/{agent_id}/messages"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(path, content=data, headers=headers)

    def say(self, agent_id: str, text: str, **headers: str) -> dict[str, Any]:
        """Post a turn that must succeed; returns the response."""
        response = self.send(agent_id, {"input": text}, **headers)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def close(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)

    def _is_healthy(self) -> bool:
        return self._listens() and self.http.get("/healthz").status_code == 200

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:  # httpx leaks the socket when this fails
            return client.connect_ex(str(self.socket)) == 0


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition: Callable[[], bool], limit_s: float, note: Callable[[], str]) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, note()
        time.sleep(0.005)


@pytest.fixture
def frame_bridge(short_tmp: Path) -> Iterator[FrameBridge]:
    server = FrameBridge(short_tmp / "bridge.sock")
    server.start()
    yield server
    server.close()


@pytest.fixture
def start_instance(short_tmp: Path, frame_bridge: FrameBridge) -> Iterator[Callable[..., Instance]]:
    """Starts an instance of a genome (the seed by default); its bridge is `frame_bridge`."""
    started: list[Instance] = []

    def start(genome: Path = SEED_GENOME, folder: str = ".", **variables: str) -> Instance:
        (short_tmp / folder).mkdir(exist_ok=True)
        started.append(Instance(short_tmp / folder, genome, variables))
        return started[-1]

    yield start
    for instance in started:
        instance.close()


@pytest.fixture
def instance(start_instance: Callable[..., Instance]) -> Instance:
    """A ready instance of the seed genome."""
    started = start_instance()
    started.wait_ready()
    return started
