"""Parameters and answers of runs and steps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel

from o_contracts.messages import StopReason
from o_platform.agents.history_repository import RunFilter, StepFilter, StepOfAgent
from o_platform.api.fields import AgentId, PageQuery, RunId, StepId
from o_platform.db.models import Run


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
        return RunFilter(agent_ids, self.statuses or (), self.stop_reason)

    def matches_nothing(self) -> bool:
        """Whether it asks for what no finished foreground run is."""
        elsewhere = self.conversation_id not in {None, "default"}
        return self.active or self.background is True or elsewhere


class StepListQuery(PageQuery):
    """Which steps to list."""

    before: StepId | None = None
    after: StepId | None = None
    order_by: Literal["created_at"] = "created_at"
    agent_id: AgentId | None = None
    model: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    feedback: Literal["positive", "negative"] | None = None
    has_feedback: bool | None = None
    tags: list[str] | None = None
    trace_ids: list[str] | None = None
    project_id: str | None = None

    def filter(self) -> StepFilter:
        """Which steps to fetch."""
        return StepFilter(
            agent_id=self.agent_id, model=self.model, since=self.start_date, until=self.end_date
        )

    def matches_nothing(self) -> bool:
        """Whether it asks for what no step here has: feedback, tags, traces, a project."""
        asked = (self.feedback, self.tags, self.trace_ids, self.project_id)
        return self.has_feedback is True or any(value is not None for value in asked)


class RunStepsQuery(PageQuery):
    """Which steps of a run to list."""

    before: StepId | None = None
    after: StepId | None = None
    order_by: Literal["created_at"] = "created_at"


class RunState(BaseModel):
    """A run as the API shows it; `metadata` names the variant and the instance that ran it."""

    id: str
    agent_id: str
    status: str
    stop_reason: str
    created_at: datetime
    completed_at: datetime
    total_duration_ns: int
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


class StepMetrics(BaseModel):
    """Where a step's time went."""

    id: str
    run_id: str
    agent_id: str
    llm_request_ns: int
    tool_execution_ns: int
    step_ns: int
    step_start_ns: int | None = None
    llm_request_start_ns: int | None = None
    provider_id: str | None = None
    base_template_id: str | None = None
    template_id: str | None = None
    project_id: str | None = None


def run_state(run: Run) -> RunState:
    """The stored run as the API shows it; it is stored when it ends."""
    return RunState(
        id=run.id,
        agent_id=run.agent_id,
        status=run.status,
        stop_reason=run.stop_reason,
        created_at=run.created_at - timedelta(microseconds=run.duration_us),
        completed_at=run.created_at,
        total_duration_ns=run.duration_us * 1000,
        metadata={"variant": run.variant, "instance_id": run.instance_id},
    )


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
    )


def step_metrics(found: StepOfAgent) -> StepMetrics:
    """Where the stored step's time went."""
    step = found.step
    return StepMetrics(
        id=step.id,
        run_id=step.run_id,
        agent_id=found.agent_id,
        llm_request_ns=step.llm_us * 1000,
        tool_execution_ns=step.tool_us * 1000,
        step_ns=(step.llm_us + step.tool_us) * 1000,
    )
