"""`/v1/identities`, and giving them to agents."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from o_platform.agents.identity_service import IdentityService
from o_platform.api.agents.schemas import AgentState
from o_platform.api.agents.views import agent_answer
from o_platform.api.deps import AgentsDep, DatabaseDep
from o_platform.api.fields import AgentPath, IdentityId
from o_platform.api.identities.schemas import (
    IdentityCreate,
    IdentityListQuery,
    IdentityState,
    IdentityUpdate,
    identity_state,
)

router = APIRouter(prefix="/v1", tags=["identities"])
IdentityPath = Annotated[IdentityId, Path()]


@router.post("/identities")
async def create_identity(body: IdentityCreate, database: DatabaseDep) -> IdentityState:
    """Create an identity."""
    made = await IdentityService(database).create(body.fields(), body.agent_ids or [])
    return identity_state(made)


@router.put("/identities")
async def upsert_identity(body: IdentityCreate, database: DatabaseDep) -> IdentityState:
    """Create the identity with this key, or make it what the body says."""
    made = await IdentityService(database).upsert(body.fields(), body.agent_ids or [])
    return identity_state(made)


@router.get("/identities")
async def list_identities(
    database: DatabaseDep, query: Annotated[IdentityListQuery, Query()]
) -> list[IdentityState]:
    """List identities, newest first unless asked otherwise."""
    found = await IdentityService(database).list(query.filter(), query.page())
    return [identity_state(view) for view in found]


@router.get("/identities/{identity_id}")
async def retrieve_identity(identity_id: IdentityPath, database: DatabaseDep) -> IdentityState:
    """One identity."""
    return identity_state(await IdentityService(database).fetch(identity_id))


@router.patch("/identities/{identity_id}")
async def update_identity(
    identity_id: IdentityPath, body: IdentityUpdate, database: DatabaseDep
) -> IdentityState:
    """Change an identity."""
    changed = await IdentityService(database).update(identity_id, body.fields(), body.agent_ids)
    return identity_state(changed)


@router.delete("/identities/{identity_id}", response_class=Response)
async def delete_identity(identity_id: IdentityPath, database: DatabaseDep) -> None:
    """Delete an identity; the agents that had it stay."""
    await IdentityService(database).delete(identity_id)


@router.patch("/agents/{agent_id}/identities/attach/{identity_id}", response_model=AgentState)
async def attach_identity(
    agent_id: AgentPath, identity_id: IdentityPath, database: DatabaseDep, agents: AgentsDep
) -> Response:
    """Give an agent an identity."""
    await IdentityService(database).attach(agent_id, identity_id)
    return agent_answer(await agents.fetch(agent_id), agents.catalogue)


@router.patch("/agents/{agent_id}/identities/detach/{identity_id}", response_model=AgentState)
async def detach_identity(
    agent_id: AgentPath, identity_id: IdentityPath, database: DatabaseDep, agents: AgentsDep
) -> Response:
    """Take an identity from an agent."""
    await IdentityService(database).detach(agent_id, identity_id)
    return agent_answer(await agents.fetch(agent_id), agents.catalogue)
