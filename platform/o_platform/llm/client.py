"""The bridge's side of the LLM gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypeVar

from o_contracts.bridge import LLM_COMPLETE
from o_contracts.frames import Empty, ErrorBody, Frame, FrameError, Kind, decode_body
from o_contracts.llm import (
    LLM_COUNT,
    LLM_EMBED,
    MODELS_LIST,
    CountRequest,
    CountResult,
    EmbedRequest,
    EmbedResult,
    LlmDelta,
    LlmRequest,
    LlmResult,
    ModelList,
)
from o_platform.errors import LlmBadRequestError, LlmError, LlmTimeoutError
from o_platform.llm.connection import ConnectionLostError, FrameConnection
from o_platform.llm.failures import llm_error

CONNECT_TIMEOUT_S: Final = 60.0
"""The first connection starts the gateway, which imports LiteLLM: seconds, more when busy."""
RETRY_CONNECT_S: Final = 0.05

T = TypeVar("T")


class LlmClient:
    """Calls models through the gateway; one connection for all calls, renewed when it breaks."""

    def __init__(self, path: Path, *, grace_s: float = 30.0) -> None:
        """Nothing connects yet.

        Args:
            path: the gateway's socket.
            grace_s: added to the longest silence that the gateway announces. It has time-outs of
                its own; ours catches a gateway that is stuck.
        """
        self._path = path
        self._grace_s = grace_s
        self._connection: FrameConnection | None = None
        self._connecting = asyncio.Lock()

    async def complete(self, request: LlmRequest) -> AsyncGenerator[LlmDelta | LlmResult, None]:
        """The deltas (when `request.stream`), then the result.

        Closing the generator early cancels the call at the provider. If the gateway dies before
        the first delta, the call is made once more on its successor.

        Raises:
            LlmError: the call failed; the subclass says how.
        """
        async with aclosing(self._ask(LLM_COMPLETE, request)) as frames:
            async for frame in frames:
                if frame.kind == Kind.CHUNK:
                    yield _decode(frame, LlmDelta)
                else:
                    yield _decode(frame, LlmResult)

    async def models(self) -> ModelList:
        """The models that the operator's own endpoints say they have.

        Raises:
            LlmError: the gateway does not answer.
        """
        async with aclosing(self._ask(MODELS_LIST, Empty())) as frames:
            return _decode(await anext(frames), ModelList)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """The vectors of texts.

        Raises:
            LlmError: the call failed; the subclass says how.
        """
        async with aclosing(self._ask(LLM_EMBED, request)) as frames:
            return _decode(await anext(frames), EmbedResult)

    async def count(self, request: CountRequest) -> CountResult:
        """Tokens of each text, by the model's own vocabulary as far as it is known.

        Raises:
            LlmError: the gateway does not answer.
        """
        async with aclosing(self._ask(LLM_COUNT, request)) as frames:
            return _decode(await anext(frames), CountResult)

    async def close(self) -> None:
        """Close the connection; calls under way fail."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _ask(self, op: str, body: object) -> AsyncGenerator[Frame, None]:
        for last_try in (False, True):
            connection = await self._connected()
            answered = False
            try:
                async with aclosing(connection.exchange(op, body)) as frames:
                    limit_s = connection.longest_silence_s + self._grace_s
                    async for frame in _timed(frames, limit_s):
                        answered = True
                        if frame.kind == Kind.ERROR:
                            raise llm_error(_decode(frame, ErrorBody))
                        yield frame
                return
            except ConnectionLostError as error:
                if answered or last_try:
                    raise LlmError("the LLM gateway went away; see `o logs llm`") from error
            except FrameError as error:
                raise LlmBadRequestError(f"the request cannot be sent: {error}") from error

    async def _connected(self) -> FrameConnection:
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                await self.close()
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> FrameConnection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                while True:
                    try:
                        return await FrameConnection.open(self._path)
                    except (OSError, ConnectionLostError):
                        await asyncio.sleep(RETRY_CONNECT_S)
        except TimeoutError as error:
            raise LlmError(
                f"the LLM gateway cannot be reached at {self._path} within "
                f"{CONNECT_TIMEOUT_S:g} s; see `o status` and `o logs llm`"
            ) from error


async def _timed(frames: AsyncIterator[Frame], limit_s: float) -> AsyncIterator[Frame]:
    while True:
        try:
            async with asyncio.timeout(limit_s):
                frame = await anext(frames)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise LlmTimeoutError(
                f"the LLM gateway did not answer within {limit_s:g} s; see `o logs llm`"
            ) from error
        yield frame


def _decode(frame: Frame, kind: type[T]) -> T:
    try:
        return decode_body(frame, kind)
    except FrameError as error:
        raise LlmError(f"the LLM gateway answered something else: {error}") from error
