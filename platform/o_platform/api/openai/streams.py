"""Streamed answers whose refusal can still be a status."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse


async def started(events: AsyncIterator[bytes]) -> StreamingResponse:
    """A response whose first event is there: whatever fails before it is an error answer."""
    first = await anext(events)

    async def all_events() -> AsyncIterator[bytes]:
        yield first
        async for event in events:
            yield event

    return StreamingResponse(all_events(), media_type="text/event-stream")
