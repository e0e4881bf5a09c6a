"""Bodies, parameters and answers of identities."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import BaseModel

from o_platform.agents.identity_repository import IdentityFilter
from o_platform.agents.identity_service import IdentityFields, IdentityView
from o_platform.api.fields import AgentId, IdentityId, Input, Json, Name, PageQuery, Str
from o_platform.db.models import Identity
from o_platform.errors import NotOfferedError

IdentityType = Literal["org", "user", "other"]


class IdentityProperty(Input):
    """A property of an identity; `value` fits `type`."""

    key: Str
    value: Str | int | float | bool | Json
    type: Literal["string", "number", "boolean", "json"]


class IdentityUpdate(Input):
    """What to change of an identity; absent fields and nulls stay."""

    identifier_key: Name | None = None
    name: Name | None = None
    identity_type: IdentityType | None = None
    properties: list[IdentityProperty] | None = None
    agent_ids: list[AgentId] | None = None
    block_ids: list[Str] | None = None

    def fields(self) -> IdentityFields:
        """What the service is to store.

        Raises:
            NotOfferedError: it asks for blocks, which have no identities here.
        """
        if self.block_ids:
            raise NotOfferedError("identities of blocks are not offered; give them to agents")
        sent = self.model_dump(exclude_none=True, exclude={"agent_ids", "block_ids"})
        return cast(IdentityFields, sent)


class IdentityCreate(IdentityUpdate):
    """Body of `POST` and `PUT /v1/identities`."""

    identifier_key: Name
    name: Name
    identity_type: IdentityType
    properties: list[IdentityProperty] = []


class IdentityListQuery(PageQuery):
    """Which identities to list."""

    before: IdentityId | None = None
    after: IdentityId | None = None
    order_by: Literal["created_at"] = "created_at"
    name: str | None = None
    identifier_key: str | None = None
    identity_type: IdentityType | None = None
    project_id: str | None = None

    def filter(self) -> IdentityFilter:
        """Which identities to fetch."""
        return IdentityFilter(self.name, self.identifier_key, self.identity_type)


class IdentityState(BaseModel):
    """An identity as the API shows it."""

    id: str
    identifier_key: str
    name: str
    identity_type: str
    project_id: str | None = None
    agent_ids: list[str]
    block_ids: list[str] = []
    properties: list[dict[str, Any]]


def identity_state(view: IdentityView) -> IdentityState:
    """The stored identity as the API shows it."""
    return shown_identity(view.identity, view.agent_ids)


def shown_identity(identity: Identity, agent_ids: list[str]) -> IdentityState:
    """The stored identity with the agents that have it."""
    return IdentityState(
        id=identity.id,
        identifier_key=identity.identifier_key,
        name=identity.name,
        identity_type=identity.identity_type,
        agent_ids=agent_ids,
        properties=identity.properties,
    )
