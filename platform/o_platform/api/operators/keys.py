"""`/o/v1/keys`: API keys.

What signs them imports cryptography, which the start of the control plane need not wait for.
"""

from __future__ import annotations

from fastapi import APIRouter

from o_platform.api.deps import DatabaseDep, PlatformDep
from o_platform.api.operators.schemas import KeyCreate, KeyState, NewKeyState, key_state
from o_platform.db.models import ApiKey

router = APIRouter(prefix="/o/v1/keys", tags=["operators"])


@router.post("")
async def create(body: KeyCreate, platform: PlatformDep) -> NewKeyState:
    """Make a key; the answer is the only place where it is ever shown."""
    from o_platform.traffic.keys import create_key

    signer = platform.ground.traffic.signer
    async with platform.database.unit_of_work() as session:
        made = await create_key(session, signer, body.name, body.role)
        row = await session.get_one(ApiKey, made.id)
        await session.refresh(row)
        return NewKeyState(**key_state(row).model_dump(), token=made.token)


@router.get("")
async def list_all(database: DatabaseDep) -> list[KeyState]:
    """List every key ever made, the newest first."""
    from o_platform.traffic.keys import list_keys

    async with database.unit_of_work() as session:
        return [key_state(key) for key in await list_keys(session)]


@router.delete("/{key_id}")
async def revoke(key_id: str, platform: PlatformDep) -> KeyState:
    """Revoke a key; when this answers, Envoy refuses it."""
    from o_platform.traffic.keys import revoke_key

    async with platform.database.unit_of_work() as session:
        state = key_state(await revoke_key(session, key_id))
    await platform.ground.traffic.apply()
    return state
