"""`/o/v1/encryption`: the keys that seal data at rest, by name; rotation and its progress."""

from __future__ import annotations

from fastapi import APIRouter

from o_platform.api.deps import PlatformDep
from o_platform.api.operators.schemas import EncryptionKeyState, encryption_key_state

router = APIRouter(prefix="/o/v1/encryption", tags=["operators"])


@router.get("")
async def show(platform: PlatformDep) -> list[EncryptionKeyState]:
    """List the encryption keys that the database has seen, the newest first."""
    return [encryption_key_state(key) for key in await platform.sealing.keys()]


@router.post("/rotate")
async def rotate(platform: PlatformDep) -> list[EncryptionKeyState]:
    """Make a new key; a job seals everything anew with it."""
    await platform.sealing.rotate()
    return [encryption_key_state(key) for key in await platform.sealing.keys()]
