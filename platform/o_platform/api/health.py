"""`/v1/health`: whether agents can be created, read and changed now."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from o_platform import __version__
from o_platform.api.deps import PlatformDep

router = APIRouter(prefix="/v1/health", tags=["health"])


class Health(BaseModel):
    """A healthy server."""

    version: str
    status: str


@router.get("")
async def health(platform: PlatformDep) -> Health:
    """Answer 200 as soon as agents can be served, 503 before."""
    await platform.require_ready()
    return Health(version=__version__, status="ok")
