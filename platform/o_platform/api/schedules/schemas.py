"""`schedule` of the Letta API: turns at set times."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, field_validator

from o_contracts.ids import UUID_PATTERN
from o_contracts.turns import MAX_MESSAGES, MAX_STEPS
from o_platform.agents.paging import Page
from o_platform.agents.schedules import is_cron
from o_platform.api.fields import Input, Json, Str
from o_platform.db.models import Schedule

ScheduleId = Annotated[str, StringConstraints(pattern=f"^schedule-{UUID_PATTERN}$")]
LAST_MILLISECOND = 253_402_300_799_999
"""The end of the year 9999."""


def _cron(expression: str) -> str:
    if not is_cron(expression):
        raise ValueError("must be a cron expression of five fields, such as `*/5 * * * *` (UTC)")
    return expression


class OneTime(Input):
    """A turn at one moment."""

    type: Literal["one-time"] = "one-time"
    scheduled_at: float = Field(
        ge=0, le=LAST_MILLISECOND, description="milliseconds since the Unix epoch"
    )


class Recurring(Input):
    """A turn again and again."""

    type: Literal["recurring"]
    cron_expression: Annotated[Str, StringConstraints(max_length=200), AfterValidator(_cron)]


class ScheduledInput(Input):
    """A message of the turn."""

    role: Literal["user", "assistant", "system"]
    content: Str | list[Json]
    type: Literal["message"] | None = None
    name: Str | None = None
    otid: Str | None = None
    sender_id: Str | None = None


class ScheduleCreate(Input):
    """Body of `POST …/schedule`."""

    messages: Annotated[list[ScheduledInput], Field(min_length=1, max_length=MAX_MESSAGES)]
    schedule: Annotated[OneTime | Recurring, Field(discriminator="type")]
    callback_url: Str | None = None
    include_return_message_types: list[Str] | None = None
    max_steps: float | None = Field(None, ge=1, le=MAX_STEPS)

    @field_validator("schedule", mode="before")
    @classmethod
    def _is_told_apart(cls, value: Any) -> Any:
        """One without a `type` is at one moment, unless it has a cron expression."""
        if isinstance(value, dict) and "type" not in value:
            kind = "recurring" if "cron_expression" in value else "one-time"
            return {**value, "type": kind}
        return value

    def rule(self) -> dict[str, Any]:
        """When to run."""
        return self.schedule.model_dump()

    def turn(self) -> dict[str, Any]:
        """The body of the turn.

        An OTID names one message; a recurring turn sends another each time.
        """
        kept = {"include_return_message_types"} | (
            {"max_steps"} if self.max_steps is not None else set()
        )
        turn = self.model_dump(include=kept, exclude_none=True)
        if self.max_steps is not None:
            turn["max_steps"] = int(self.max_steps)
        dropped = {"otid"} if self.schedule.type == "recurring" else None
        turn["messages"] = [
            one.model_dump(exclude_none=True, exclude=dropped) for one in self.messages
        ]
        return turn


class ScheduleCreated(BaseModel):
    """Answer of `POST …/schedule`."""

    id: str
    next_scheduled_at: datetime | None


class ScheduledMessage(BaseModel):
    """One schedule."""

    id: str
    agent_id: str
    message: dict[str, Any]
    next_scheduled_time: datetime | None
    schedule: dict[str, Any]
    last_run_at: datetime | None
    last_error: str | None


class ScheduleList(BaseModel):
    """A page of schedules."""

    has_next_page: bool
    scheduled_messages: list[ScheduledMessage]


class ScheduleDeleted(BaseModel):
    """Answer of `DELETE …/schedule/{id}`."""

    success: Literal[True] = True


class ScheduleListQuery(BaseModel):
    """Parameters of the listing; oldest first."""

    after: ScheduleId | None = None
    limit: int = Field(50, ge=1, le=1000)

    def page(self) -> Page:
        """One row more than asked for, to know whether there is a next page."""
        return Page(limit=self.limit + 1, after=self.after, descending=False)


def scheduled_message(schedule: Schedule) -> ScheduledMessage:
    """The stored schedule as the API shows it."""
    return ScheduledMessage(
        id=schedule.id,
        agent_id=schedule.agent_id,
        message=schedule.turn,
        next_scheduled_time=schedule.next_at,
        schedule=schedule.rule,
        last_run_at=schedule.last_at,
        last_error=schedule.last_error,
    )
