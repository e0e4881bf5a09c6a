"""Parameters and answers of runs and steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

from o_contracts.control import RunningTurn
from o_contracts.messages import StopReason
from o_platform.agents.history_repository import RunFilter, StepFilter, StepOfAgent
from o_platform.api.fields import AgentId, EndDate, Input, Name, PageQuery, RunId, StepId
from o_platform.db.models import BackgroundRun, Run


class RunListQuery(PageQuery):
    """Which runs to list."""

    before: RunId | None = None
    after: RunId | None = None
    order_by: Literal["created_at"] = "created_at"
    agent_id: AgentId | None = None
    agent_ids: list[AgentId] | None = None
    statuses: list[str] | None = None
    stop_reason: StopReason | None = None
    active: bool = False
    background: bool | None = None
    ascending: bool | None = None
    conversation_id: str | None = None

    def filter(self) -> RunFilter:
        """Which runs to fetch."""
        agent_ids = [*(self.agent_ids or []), *([self.agent_id] if self.agent_id else [])]
        conversation_id = None if self.conversation_id == "default" else self.conversation_id
        return RunFilter(
            agent_ids, self.statuses or (), self.stop_reason, conversation_id, self.background
        )

    def matches(self, turn: RunningTurn) -> bool:
        """Whether a turn without an outcome yet belongs into the list."""
        agent_ids = self.filter().agent_ids
        if agent_ids and turn.agent_id not in agent_ids:
            return False
        if self.stop_reason is not None:
            return False
        if self.background not in {None, turn.background}:
            return False
        if self.conversation_id not in {None, "default", turn.conversation_id}:
            return False
        return not self.statuses or running_status(turn) in self.statuses


class StepListQuery(PageQuery):
    """Which steps to list."""

    before: StepId | None = None
    after: StepId | None = None
    order_by: Literal["created_at"] = "created_at"
    agent_id: AgentId | None = None
    model: str | None = None
    start_date: datetime | None = None
    end_date: EndDate | None = None
    feedback: Literal["positive", "negative"] | None = None
    has_feedback: bool | None = None
    tags: list[str] | None = None
    trace_ids: list[str] | None = None
    project_id: str | None = None

    def filter(self) -> StepFilter:
        """Which steps to fetch."""
        return StepFilter(
            agent_id=self.agent_id,
            model=self.model,
            since=self.start_date,
            until=self.end_date,
            feedback=self.feedback,
            has_feedback=self.has_feedback,
            tags=self.tags or (),
        )

    def matches_nothing(self) -> bool:
        """Whether it asks for what no step here has: a trace's id, a project."""
        return self.trace_ids is not None or self.project_id is not None


class RunStepsQuery(PageQuery):
    """Which steps of a run to list."""

    before: StepId | None = None
    after: StepId | None = None
    order_by: Literal["created_at"] = "created_at"


class FeedbackBody(Input):
    """What a client says of a step; no feedback takes an earlier one back."""

    feedback: Literal["positive", "negative"] | None = None
    tags: list[Name] | None = None


class TraceQuery(BaseModel):
    """How much of a run's trace to show."""

    limit: int = Field(1000, ge=1, le=10_000)


class RunState(BaseModel):
    """A run as the API shows it.

    `metadata` names the variant and the instance that ran it, and what it failed of (`error`).
    """

    id: str
    agent_id: str
    status: str
    stop_reason: str | None
    created_at: datetime
    completed_at: datetime | None
    total_duration_ns: int | None
    background: bool = False
    metadata: dict[str, Any]
    conversation_id: str | None = None
    base_template_id: str | None = None
    request_config: dict[str, Any] | None = None
    callback_url: str | None = None
    callback_sent_at: datetime | None = None
    callback_status_code: int | None = None
    callback_error: str | None = None
    ttft_ns: int | None = None


class RunUsage(BaseModel):
    """Tokens of a run."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]
    completion_tokens_details: dict[str, int]


class StepState(BaseModel):
    """A step as the API shows it."""

    id: str
    run_id: str
    agent_id: str
    model: str
    model_handle: str
    provider_name: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    stop_reason: str
    status: str
    messages: list[dict[str, Any]] = []
    tags: list[str] = []
    feedback: str | None = None
    context_window_limit: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_tokens_details: dict[str, int] | None = None
    completion_tokens_details: dict[str, int] | None = None
    error_type: str | None = None
    error_data: dict[str, Any] | None = None


class StepMetrics(BaseModel):
    """Where a step's time went."""

    id: str
    run_id: str
    agent_id: str
    llm_request_ns: int
    tool_execution_ns: int
    sandbox_ns: int = 0
    step_ns: int
    step_start_ns: int | None = None
    llm_request_start_ns: int | None = None
    provider_id: str | None = None
    base_template_id: str | None = None
    template_id: str | None = None
    project_id: str | None = None


def run_state(run: Run, background: BackgroundRun | None = None) -> RunState:
    """The stored run as the API shows it; it is stored when it ends."""
    failure = {} if run.failure is None else {"error": run.failure}
    state = RunState(
        id=run.id,
        agent_id=run.agent_id,
        status=run.status,
        stop_reason=run.stop_reason,
        created_at=run.created_at - timedelta(microseconds=run.duration_us),
        completed_at=run.created_at,
        total_duration_ns=run.duration_us * 1000,
        background=run.background,
        conversation_id=run.conversation_id,
        metadata={"variant": run.variant, "instance_id": run.instance_id, **failure},
    )
    return state if background is None else _with_background(state, background)


def background_state(row: BackgroundRun) -> RunState:
    """A background run that has not begun as the API shows it."""
    state = RunState(
        id=row.run_id,
        agent_id=row.agent_id,
        status="created",
        stop_reason=None,
        created_at=row.created_at,
        completed_at=None,
        total_duration_ns=None,
        conversation_id=row.conversation_id,
        metadata={},
    )
    return _with_background(state, row)


def _with_background(state: RunState, row: BackgroundRun) -> RunState:
    failure = {} if row.failure is None else {"error": row.failure}
    return state.model_copy(
        update={
            "background": True,
            "created_at": row.created_at,
            "callback_url": row.callback_url,
            "callback_sent_at": row.callback_sent_at,
            "callback_status_code": row.callback_status_code,
            "callback_error": row.callback_error,
            "metadata": state.metadata | {"run_type": "send_message_async"} | failure,
        }
    )


def running_state(turn: RunningTurn) -> RunState:
    """A turn without an outcome yet as the API shows it."""
    return RunState(
        id=turn.run_id,
        agent_id=turn.agent_id,
        status=running_status(turn),
        stop_reason=None,
        created_at=datetime.fromtimestamp(turn.created_us / 1e6, UTC),
        completed_at=None,
        total_duration_ns=None,
        conversation_id=turn.conversation_id,
        background=turn.background,
        metadata={"variant": turn.variant, "instance_id": turn.instance_id},
    )


def as_turn(row: BackgroundRun) -> RunningTurn:
    """A background run that has not begun, as the bridge would list it."""
    created_us = int(row.created_at.timestamp() * 1e6)
    thread = row.conversation_id
    return RunningTurn(row.run_id, row.agent_id, False, created_us, "", "", thread, True)


def running_status(turn: RunningTurn) -> str:
    """`running`, or `created` while it waits for its agent."""
    return "running" if turn.is_running else "created"


def run_usage(run: Run) -> RunUsage:
    """Tokens of the stored run."""
    return RunUsage(
        prompt_tokens=run.prompt_tokens,
        completion_tokens=run.completion_tokens,
        total_tokens=run.prompt_tokens + run.completion_tokens,
        prompt_tokens_details={"cached_tokens": run.cached_input_tokens},
        completion_tokens_details={"reasoning_tokens": run.reasoning_tokens},
    )


def step_state(found: StepOfAgent) -> StepState:
    """The stored step as the API shows it."""
    step = found.step
    provider, _, model = step.model.partition("/")
    failed = step.stop_reason in {"error", "llm_api_error", "invalid_llm_response"}
    failure = step.failure or ({"code": step.stop_reason} if failed else {})
    message = failure.get("message")
    return StepState(
        id=step.id,
        run_id=step.run_id,
        agent_id=found.agent_id,
        model=model,
        model_handle=step.model,
        provider_name=provider,
        prompt_tokens=step.prompt_tokens,
        completion_tokens=step.completion_tokens,
        total_tokens=step.prompt_tokens + step.completion_tokens,
        stop_reason=step.stop_reason,
        status="failed" if failed else "success",
        feedback=step.feedback,
        tags=step.tags,
        cached_input_tokens=step.cached_input_tokens,
        reasoning_tokens=step.reasoning_tokens,
        prompt_tokens_details=_details("cached_tokens", step.cached_input_tokens),
        completion_tokens_details=_details("reasoning_tokens", step.reasoning_tokens),
        error_type=failure.get("code"),
        error_data=None if message is None else {"message": message},
    )


def _details(name: str, tokens: int | None) -> dict[str, int] | None:
    return None if tokens is None else {name: tokens}


def step_metrics(found: StepOfAgent) -> StepMetrics:
    """Where the stored step's time went."""
    step = found.step
    return StepMetrics(
        id=step.id,
        run_id=step.run_id,
        agent_id=found.agent_id,
        llm_request_ns=step.llm_us * 1000,
        tool_execution_ns=step.tool_us * 1000,
        sandbox_ns=step.sandbox_us * 1000,
        step_ns=(step.llm_us + step.tool_us) * 1000,
    )
