"""Bodies and answers of the operator's routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from o_platform.api.fields import MAX_INT64, Input, Json, Str
from o_platform.db.models import (
    ApiKey,
    Attempt,
    EncryptionKey,
    Event,
    Instance,
    Lineage,
    Rollout,
    RolloutEvent,
    Variant,
)
from o_platform.db.resealing import progress_of
from o_platform.images.repository import VariantView
from o_platform.wiring.board import Condition


class KeyCreate(Input):
    """A key to make."""

    name: Str = Field(description="who will use it; 1 … 64 letters, digits or ._@-")
    role: Literal["client", "operator"] = "client"


class KeyState(BaseModel):
    """A key without the key."""

    id: str
    name: str
    role: str
    created_at: datetime
    revoked_at: datetime | None


class NewKeyState(KeyState):
    """A key just made, with the token: it is shown this once."""

    token: str


class HistoryQuery(BaseModel):
    """Which versions of a block to list."""

    before: int | None = Field(None, ge=1, le=MAX_INT64, description="only older versions")
    limit: int = Field(50, ge=1, le=1000)


class BlockVersionState(BaseModel):
    """A block's text as of one version; `who` made it so (empty: before the first edit)."""

    version: int
    value: str
    who: str
    why: str
    run_id: str | None
    restores: int | None
    created_at: datetime


class BlockUndo(Input):
    """Which version's text to bring back; absent: the one before the last change of text."""

    version: int | None = Field(None, ge=1, le=MAX_INT64)


class SealingProgress(BaseModel):
    """Rows of one table that were looked at, of how many there were when that began."""

    table: str
    done: int
    total: int
    is_complete: bool


class EncryptionKeyState(BaseModel):
    """An encryption key by its name; `sealed_at`: since when nothing is sealed with older ones."""

    id: str
    created_at: datetime
    sealed_at: datetime | None
    progress: list[SealingProgress]


def encryption_key_state(key: EncryptionKey) -> EncryptionKeyState:
    """The stored key as the API shows it."""
    parts = [
        SealingProgress.model_validate(part, from_attributes=True) for part in progress_of(key)
    ]
    return EncryptionKeyState(
        id=key.id, created_at=key.created_at, sealed_at=key.sealed_at, progress=parts
    )


class VariantState(BaseModel):
    """A variant; `status` is its place in the lineage that was asked about."""

    digest: str
    origin: str
    size_bytes: int
    params: dict[str, Any]
    created_at: datetime
    status: str | None = None


class VariantDetail(VariantState):
    """A variant with the text of its files (null: not text) and its status in every lineage."""

    files: dict[str, str | None]
    lineages: dict[str, str]


class SavedVariant(BaseModel):
    """A variant that was uploaded; `created` is false if it was known before."""

    digest: str
    created: bool


class VariantDiff(BaseModel):
    """What turns variant `a` into variant `b`, as a unified diff."""

    a: str
    b: str
    diff: str


class LineageCreate(Input):
    """A lineage to make; its first stable variant is `variant`, or the seed genome."""

    name: Str = Field(description="lower-case letters, digits and `-`")
    variant: Str | None = Field(None, description="4 or more hex digits of a digest")


class LineageState(BaseModel):
    """A lineage; `key` is the first group of its agents' UUIDs."""

    name: str
    key: int
    stable_variant: str | None
    memory_agent_id: str | None
    created_at: datetime


class InstanceState(BaseModel):
    """An instance."""

    id: str
    lineage: str
    variant: str
    role: str
    runtime: str
    status: str
    rollout_id: str | None
    handle: str | None
    detail: str | None
    created_at: datetime
    ready_at: datetime | None
    stopped_at: datetime | None


class InstanceLogs(BaseModel):
    """The last lines that an instance printed."""

    id: str
    text: str


class EventState(BaseModel):
    """Something an operator wants to know of."""

    id: int
    at: datetime
    kind: str
    subject: str
    message: str
    data: dict[str, Any]


class EvolveRequest(Input):
    """A cycle to start."""

    lineage: Str = "default"
    policy: Str = "default"


class EvolveStarted(BaseModel):
    """The attempt of a cycle just started; follow it under `/o/v1/attempts`."""

    attempt_id: str


class AttemptState(BaseModel):
    """One proposal and what became of it."""

    id: str
    lineage: str
    parents: list[str]
    operator: str
    hypothesis: str
    predicted: dict[str, Any]
    risk: str
    diff: str
    variant: str | None
    rollout_id: str | None
    outcome: str
    stopped_by: str | None
    measured: dict[str, Any]
    lesson: str | None
    passage_id: str | None
    created_at: datetime
    finished_at: datetime | None


class RolloutCreate(Input):
    """A rollout to start."""

    lineage: Str = "default"
    variant: Str = Field(description="4 or more hex digits of a digest")
    policy: Str | Json = Field(
        "default", description="name of a policy (see `/o/v1/policies`), or a whole one"
    )


class RolloutState(BaseModel):
    """A rollout as it stands."""

    id: str
    lineage: str
    variant: str
    baseline: str
    state: str
    gate: str | None
    reason: str
    message: str
    intent: str | None
    weight_permille: int
    mirror_permille: int
    canary_instance: str | None
    shadow_instance: str | None
    policy: dict[str, Any]
    created_by: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class RolloutEventState(BaseModel):
    """One transition of a rollout."""

    id: int
    at: datetime
    state: str
    gate: str | None
    reason: str
    message: str
    evidence: dict[str, Any]


class TaskState(BaseModel):
    """Something the control plane does in the background."""

    condition: Condition
    since: datetime
    message: str


class Status(BaseModel):
    """The platform at a glance; `coming` names what is not up yet."""

    version: str
    healthy: bool
    coming: list[str]
    background: dict[str, TaskState]
    runtime: str
    listen: str
    agents: int
    lineages: list[LineageState]
    instances: list[InstanceState]
    rollouts: list[RolloutState]


def key_state(key: ApiKey) -> KeyState:
    """The stored key."""
    return KeyState.model_validate(key, from_attributes=True)


def variant_state(view: VariantView | Variant) -> VariantState:
    """The stored variant."""
    return VariantState.model_validate(view, from_attributes=True)


def lineage_state(lineage: Lineage) -> LineageState:
    """The stored lineage."""
    return LineageState.model_validate(lineage, from_attributes=True)


def instance_state(instance: Instance) -> InstanceState:
    """The stored instance."""
    return InstanceState.model_validate(instance, from_attributes=True)


def event_state(event: Event) -> EventState:
    """The stored event."""
    return EventState.model_validate(event, from_attributes=True)


def attempt_state(attempt: Attempt) -> AttemptState:
    """The stored attempt."""
    return AttemptState.model_validate(attempt, from_attributes=True)


def rollout_state(rollout: Rollout) -> RolloutState:
    """The stored rollout."""
    return RolloutState.model_validate(rollout, from_attributes=True)


def rollout_event_state(event: RolloutEvent) -> RolloutEventState:
    """The stored transition."""
    return RolloutEventState.model_validate(event, from_attributes=True)
