"""The steps of an evolution cycle; each is idempotent, so that a crash resumes at the last one.

`workflow.py` runs them durably in order: `propose` → `start_rollout` → (the rollout's own way) →
`conclude`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import new_id
from o_contracts.llm import LlmMessage, LlmRequest, LlmResult
from o_platform.clock import Clock
from o_platform.db.engine import Database
from o_platform.db.models import Attempt, Rollout
from o_platform.errors import (
    BadInputError,
    BuildError,
    ConflictError,
    LlmError,
    NotFoundError,
    OError,
)
from o_platform.evolution import repository
from o_platform.evolution.prompt import ProposalContext, proposal_messages, repair_messages
from o_platform.evolution.proposal import Proposal, apply_edits, parse_proposal, risk_class
from o_platform.evolution.record import AttemptRecord, lesson, passage_tags, passage_text
from o_platform.images.diff import genome_diff
from o_platform.images.genome import Genome
from o_platform.images.repository import fetch_genome, save_variant
from o_platform.memory.passages import insert_passage
from o_platform.memory.search import search_passages

REMEMBERED = 8
"""Passages of earlier attempts a proposer is shown."""
FINAL_OUTCOMES = frozenset({"promoted", "rejected", "rolled_back", "aborted", "failed"})


class Completer(Protocol):
    """Asks a model."""

    async def __call__(self, request: LlmRequest) -> LlmResult:
        """The whole reply.

        Raises:
            LlmError: the model failed after retries.
        """
        ...


class RolloutStarter(Protocol):
    """Starts rollouts (`o_platform.rollout.service`)."""

    async def start(self, lineage: str, variant: str, policy: str, by: str) -> Any:
        """Start one and return a view with an `id`.

        Raises:
            ConflictError: another rollout of the lineage is running.
        """
        ...


class EvolutionService:
    """Proposes, starts and concludes attempts."""

    def __init__(
        self,
        database: Database,
        rollouts: RolloutStarter,
        complete: Completer,
        clock: Clock,
        model: str,
    ) -> None:
        """`model` is the handle of the proposing model."""
        self._database = database
        self._rollouts = rollouts
        self._complete = complete
        self._clock = clock
        self._model = model

    async def check_free(self, lineage: str) -> None:
        """Refuse a second cycle while one is under way.

        Raises:
            ConflictError: naming the open attempt.
            NotFoundError: unknown lineage.
        """
        async with self._database.unit_of_work() as session:
            await repository.fetch_lineage(session, lineage)
            running = await repository.open_attempt(session, lineage)
        if running is not None:
            raise ConflictError(
                f"attempt `{running.id}` of {lineage!r} is still open; wait for its rollout "
                f"`{running.rollout_id}`, or abort that",
                attempt_id=running.id,
            )

    async def propose(self, attempt_id: str, lineage: str) -> str:
        """Ask the model for a change, make its variant and store the attempt; returns its outcome.

        A model that fails, and a proposal that is malformed twice, cannot become a genome, or
        repeats one that failed, make an attempt too, remembered with the reason.
        """
        async with self._database.unit_of_work() as session:
            existing = await repository.fetch_attempt(session, attempt_id)
            if existing is not None:
                return existing.outcome
            context, baseline = await self._context(session, lineage)
        try:
            proposal = await self._ask(context)
        except (BadInputError, LlmError) as error:
            await self._store_failed(attempt_id, lineage, baseline, "proposal", error)
            return "failed"
        return await self._store(attempt_id, lineage, baseline, context.genome, proposal)

    async def start_rollout(self, attempt_id: str, policy: str) -> str | None:
        """Start the attempt's rollout once; returns its id, or nothing if the attempt has ended."""
        attempt = await self._attempt(attempt_id)
        if attempt.outcome != "open" or attempt.variant is None:
            return None
        if attempt.rollout_id is not None:
            return attempt.rollout_id
        try:
            rollout_id = await self._started_rollout(attempt, attempt.variant, policy)
        except (ConflictError, BadInputError) as error:
            await self._end(attempt_id, "failed", "rollout", error.message)
            return None
        async with self._database.unit_of_work() as session:
            stored = await repository.fetch_attempt(session, attempt_id)
            if stored is not None:
                stored.rollout_id = rollout_id
        return rollout_id

    async def rollout_finished(self, rollout_id: str) -> bool:
        """Whether the rollout has come to its end."""
        async with self._database.unit_of_work() as session:
            return (await repository.fetch_rollout(session, rollout_id)).finished_at is not None

    async def conclude(self, attempt_id: str) -> str:
        """Record the outcome with its evidence in the lineage's archival memory, once."""
        async with self._database.unit_of_work() as session:
            attempt = await repository.fetch_attempt(session, attempt_id)
            if attempt is None:
                raise NotFoundError(f"there is no attempt {attempt_id!r}")
            if attempt.passage_id is not None:
                return attempt.outcome
            reason = attempt.lesson or ""
            if attempt.rollout_id is not None:
                rollout = await repository.fetch_rollout(session, attempt.rollout_id)
                reason = rollout.message
                await self._take_over(session, attempt, rollout)
            await self._remember(session, attempt, reason)
            return attempt.outcome

    async def _context(self, session: AsyncSession, name: str) -> tuple[ProposalContext, Genome]:
        lineage = await repository.fetch_lineage(session, name)
        if lineage.stable_variant is None:
            raise ConflictError(f"lineage {name!r} has no stable variant to start from yet")
        genome = await fetch_genome(session, lineage.stable_variant)
        agent_id = await repository.ensure_memory_agent(session, name)
        failures = await repository.recent_failures(session, lineage, self._clock.now())
        query = "\n".join(["which change helps this genome", *failures])
        found = await search_passages(session, agent_id, query, ("attempt",), REMEMBERED)
        context = ProposalContext(
            lineage=name,
            genome=genome.files,
            attempt_count=await repository.count_attempts(session, name),
            remembered=[passage.text for passage, _ in found],
            failures=failures,
        )
        return context, genome

    async def _ask(self, context: ProposalContext) -> Proposal:
        messages: Sequence[LlmMessage] = proposal_messages(context)
        reply = await self._reply(messages)
        try:
            return parse_proposal(reply)
        except BadInputError as error:
            again = await self._reply(repair_messages(messages, reply, error.message))
            return parse_proposal(again)

    async def _reply(self, messages: Sequence[LlmMessage]) -> str:
        request = LlmRequest(model=self._model, messages=list(messages), variant="evolution")
        return (await self._complete(request)).text

    async def _store(
        self,
        attempt_id: str,
        lineage: str,
        baseline: Genome,
        files: Mapping[str, bytes],
        proposal: Proposal,
    ) -> str:
        try:
            genome = Genome.from_files(apply_edits(files, proposal.edits))
        except (BadInputError, BuildError) as error:
            await self._store_failed(attempt_id, lineage, baseline, "static", error, proposal)
            return "rejected"
        async with self._database.unit_of_work() as session:
            tried = await repository.earlier_attempt(session, lineage, genome.digest)
            await save_variant(session, genome, "machine")
            attempt = _attempt_row(attempt_id, lineage, baseline, proposal)
            attempt.variant = genome.digest
            attempt.diff = genome_diff(baseline, genome)
            if tried is not None and tried.outcome != "aborted":
                attempt.outcome, attempt.stopped_by = "rejected", "dedupe"
                attempt.lesson = f"the same genome was tried before and was {tried.outcome}"
            session.add(attempt)
            return attempt.outcome

    async def _store_failed(
        self,
        attempt_id: str,
        lineage: str,
        baseline: Genome,
        gate: str,
        error: OError,
        proposal: Proposal | None = None,
    ) -> None:
        attempt = _attempt_row(attempt_id, lineage, baseline, proposal)
        attempt.outcome = "failed" if proposal is None else "rejected"
        attempt.stopped_by, attempt.lesson = gate, error.message
        async with self._database.unit_of_work() as session:
            session.add(attempt)

    async def _end(self, attempt_id: str, outcome: str, gate: str, reason: str) -> None:
        async with self._database.unit_of_work() as session:
            attempt = await repository.fetch_attempt(session, attempt_id)
            if attempt is not None:
                attempt.outcome, attempt.stopped_by, attempt.lesson = outcome, gate, reason

    async def _attempt(self, attempt_id: str) -> Attempt:
        async with self._database.unit_of_work() as session:
            attempt = await repository.fetch_attempt(session, attempt_id)
        if attempt is None:
            raise NotFoundError(f"there is no attempt {attempt_id!r}")
        return attempt

    async def _started_rollout(self, attempt: Attempt, variant: str, policy: str) -> str:
        # A crash between starting the rollout and noting its id must not start a second one.
        by = f"evolution:{attempt.id}"
        async with self._database.unit_of_work() as session:
            started = await repository.rollout_started_by(session, attempt.lineage, by)
        if started is not None:
            return started
        return str((await self._rollouts.start(attempt.lineage, variant, policy, by)).id)

    async def _take_over(self, session: AsyncSession, attempt: Attempt, rollout: Rollout) -> None:
        if rollout.state not in FINAL_OUTCOMES:
            raise ConflictError(f"rollout `{rollout.id}` has not ended ({rollout.state})")
        attempt.outcome = rollout.state
        attempt.stopped_by = None if rollout.state == "promoted" else rollout.gate
        attempt.measured = await repository.measured_effect(session, rollout)

    async def _remember(self, session: AsyncSession, attempt: Attempt, reason: str) -> None:
        record = _record(attempt, reason)
        agent_id = await repository.ensure_memory_agent(session, attempt.lineage)
        passage = await insert_passage(
            session,
            agent_id,
            passage_text(record),
            passage_tags(record),
            {"attempt_id": attempt.id, "rollout_id": attempt.rollout_id},
        )
        attempt.lesson = lesson(record)
        attempt.passage_id = passage.id
        attempt.finished_at = self._clock.now()


def new_attempt_id() -> str:
    """An id for a cycle about to start."""
    return new_id("attempt")


def _attempt_row(
    attempt_id: str, lineage: str, baseline: Genome, proposal: Proposal | None
) -> Attempt:
    return Attempt(
        id=attempt_id,
        lineage=lineage,
        parents=[baseline.digest],
        operator=proposal.operator if proposal else "llm_edit",
        hypothesis=proposal.hypothesis if proposal else "(the proposer gave none)",
        predicted=_predicted(proposal),
        risk=risk_class(proposal.edits) if proposal else "params",
        diff="",
        outcome="open",
    )


def _predicted(proposal: Proposal | None) -> dict[str, Any]:
    if proposal is None:
        return {}
    predicted = proposal.predicted
    return {"metric": predicted.metric, "change_percent": predicted.change_percent}


def _record(attempt: Attempt, reason: str) -> AttemptRecord:
    return AttemptRecord(
        attempt_id=attempt.id,
        variant=attempt.variant,
        operator=attempt.operator,
        risk=attempt.risk,
        hypothesis=attempt.hypothesis,
        predicted=attempt.predicted,
        measured=attempt.measured or {},
        outcome=attempt.outcome,
        stopped_by=attempt.stopped_by,
        reason=reason,
        diff=attempt.diff,
    )
