"""`o import letta`: from rows of a retired server's database to what the control plane takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from o_platform.cli.letta_database import BLOCKS, PASSAGES, LettaDatabase, Row
from o_platform.errors import OError

T = TypeVar("T")
MESSAGES_AT_ONCE: Final = 200
PASSAGES_AT_ONCE: Final = 200
RUNS_AT_ONCE: Final = 100
RUNS: Final = ("runs", "steps")
ENDED: Final = frozenset({"completed", "failed", "cancelled"})
"""Statuses of runs that are taken over."""
_BASE: Final = "/o/v1/takeover"
_ORDER: Final = ("sequence_id", "created_at", "id")


class Api(Protocol):
    """The control plane."""

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer to a POST of JSON."""
        ...


@dataclass(slots=True)
class Report:
    """What was taken over; `there` counts agents that were there already."""

    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class LettaImport:
    """Takes over every agent of a database."""

    def __init__(
        self,
        source: LettaDatabase,
        api: Api,
        *,
        model: str | None = None,
        embedding: str | None = None,
        with_runs: bool = False,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`model` and `embedding` replace those of the agents; `tell` hears of the progress."""
        self._source = source
        self._api = api
        self._overrides = {"model": model, "embedding": embedding}
        self._with_runs = with_runs
        self._tell = tell
        self._filled: set[str] = set()

    def run(self) -> Report:
        """Take over agent by agent; one that fails does not keep the others from it."""
        report = Report()
        missing = [*self._source.missing, *self._missing_runs()]
        if missing:
            report.notes.append(f"the database has no table {', '.join(missing)}")
        total = self._source.count("agents")
        agents = list(self._source.rows("agents", ("created_at", "id")))
        for number, row in enumerate(agents, 1):
            try:
                self._agent(row, report)
            except OError as error:
                report.failed.append(f"{row['id']} ({row.get('name')}): {error.message}")
            counts = report.counts
            self._tell(
                f"{number} of {total} agents, {counts['messages']} messages, "
                f"{counts['passages']} passages"
            )
        self._groups(report)
        return report

    def _groups(self, report: Report) -> None:
        for row in list(self._source.rows("groups", ("created_at", "id"))):
            members = self._source.rows("groups_agents", (), group_id=row["id"])
            group = {**_plain(row), "agent_ids": [one["agent_id"] for one in members]}
            taken = self._api.post(f"{_BASE}/groups", group)
            report.counts["groups"] += taken["is_new"]
            report.notes += taken["notes"]

    def _agent(self, row: Row, report: Report) -> None:
        archives = list(self._archives(row))
        bundle = {
            "agent": _agent(row, [one["tag"] for one in self._linked("agents_tags", row["id"])]),
            "blocks": [_block(one) for one in self._held(BLOCKS, "blocks_agents", "block_id", row)],
            "tools": [_tool(one) for one in self._held("tools", "tools_agents", "tool_id", row)],
            "archives": [_archive(one) for one in archives],
            **{name: value for name, value in self._overrides.items() if value},
        }
        taken = self._api.post(f"{_BASE}/agents", bundle)
        report.counts["agents" if taken["is_new"] else "agents that were there"] += 1
        report.notes += taken["notes"]
        self._messages(row["id"], report)
        if self._with_runs:
            self._runs(row["id"], report)
        for archive in archives:
            if archive["id"] not in self._filled:
                self._filled.add(archive["id"])
                self._passages(archive, report)

    def _missing_runs(self) -> list[str]:
        return [one for one in RUNS if self._with_runs and not self._source.has(one, "id")]

    def _messages(self, agent_id: str, report: Report) -> None:
        of_agent = self._source.rows("conversations", ("created_at", "id"), agent_id=agent_id)
        threads = {one["id"]: one for one in of_agent}
        rows = self._source.rows("messages", _ORDER, agent_id=agent_id)
        own = (row for row in rows if self._is_own(row, threads, report))
        self._thread(agent_id, None, own, report)
        for batch in _batches(threads.values(), MESSAGES_AT_ONCE):
            body = {"conversations": [_plain(one) for one in batch]}
            added = self._api.post(f"{_BASE}/agents/{agent_id}/conversations", body)["added"]
            report.counts["conversations"] += added
        for thread in threads:
            rows = self._source.rows("messages", _ORDER, conversation_id=thread)
            self._thread(agent_id, thread, rows, report)

    def _is_own(self, row: Row, threads: dict[str, Row], report: Report) -> bool:
        """Whether it is of the default conversation; of which other one, is noted."""
        thread = row.get("conversation_id")
        if thread is None or thread in threads:
            return thread is None
        if self._source.has("conversations", "id"):
            report.counts["messages of deleted conversations, left out"] += 1
        else:
            threads[thread] = {"id": thread}
        return False

    def _thread(
        self, agent_id: str, thread: str | None, rows: Iterable[Row], report: Report
    ) -> None:
        is_first = True
        for batch in _batches(rows, MESSAGES_AT_ONCE):
            body = {
                "messages": [_message(row) for row in batch], "is_first": is_first,
                "conversation_id": thread,
            }  # fmt: skip
            added = self._api.post(f"{_BASE}/agents/{agent_id}/messages", body)["added"]
            report.counts["messages"] += added
            is_first = False

    def _runs(self, agent_id: str, report: Report) -> None:
        steps: dict[str, list[Row]] = {}
        for row in self._source.rows("steps", ("created_at", "id"), agent_id=agent_id):
            steps.setdefault(row.get("run_id") or "", []).append(_step(row))
        rows = self._source.rows("runs", ("created_at", "id"), agent_id=agent_id)
        for batch in _batches(rows, RUNS_AT_ONCE):
            runs = [{**_plain(row), "steps": steps.get(row["id"], [])} for row in batch]
            answer = self._api.post(f"{_BASE}/agents/{agent_id}/runs", {"runs": runs})
            report.counts["runs"] += answer["added"]
            report.counts["steps"] += answer["steps"]
            unended = sum(row.get("status") not in ENDED for row in batch)
            if unended:
                report.counts["runs that had not ended, left out"] += unended

    def _passages(self, archive: Row, report: Report) -> None:
        where = archive["where"]
        for batch in _batches(self._source.rows(PASSAGES, ("id",), **where), PASSAGES_AT_ONCE):
            body = {"passages": [_passage(row) for row in batch]}
            path = f"{_BASE}/archives/{archive['id']}/passages"
            report.counts["passages"] += self._api.post(path, body)["added"]

    def _archives(self, agent: Row) -> Iterator[Row]:
        """The agent's archives; where passages still belong to agents, one made of its id."""
        if self._source.has(PASSAGES, "archive_id"):
            for one in self._held("archives", "archives_agents", "archive_id", agent):
                yield {**one, "where": {"archive_id": one["id"]}}
        elif self._source.has(PASSAGES, "agent_id"):
            made = "archive-" + agent["id"].partition("-")[2]
            config = agent.get("embedding_config")
            yield {
                "id": made, "name": agent.get("name"), "embedding_config": config,
                "where": {"agent_id": agent["id"]},
            }  # fmt: skip

    def _linked(self, table: str, agent_id: str) -> list[Row]:
        return list(self._source.rows(table, (), agent_id=agent_id))

    def _held(self, table: str | tuple[str, ...], link: str, key: str, agent: Row) -> list[Row]:
        ids = [one[key] for one in self._linked(link, agent["id"])]
        return [row for one in ids for row in self._source.rows(table, ("id",), id=one)]


def _agent(row: Row, tags: list[str]) -> Row:
    metadata = row.get("metadata_", row.get("metadata"))
    return {**_plain(row), "metadata": metadata, "tags": tags, "messages": []}


def _block(row: Row) -> Row:
    return {**_plain(row), "metadata": row.get("metadata_", row.get("metadata"))}


def _tool(row: Row) -> Row:
    return _plain(row)


def _archive(row: Row) -> Row:
    config = row.get("embedding_config") or {}
    handle = row.get("embedding") or (config.get("handle") if isinstance(config, dict) else None)
    return {**_plain(row), "embedding": handle}


def _message(row: Row) -> Row:
    content = row.get("content")
    return {**_plain(row), "content": content if content is not None else row.get("text")}


def _step(row: Row) -> Row:
    model, provider = row.get("model"), row.get("provider_name")
    handle = f"{provider}/{model}" if model and provider and "/" not in model else model
    return _plain({**row, "model": handle})


def _passage(row: Row) -> Row:
    return {**_plain(row), "metadata": row.get("metadata_", row.get("metadata"))}


def _plain(row: Row) -> Row:
    """The row without what is empty, and ready for JSON."""
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in row.items()
        if value is not None and name != "where"
    }


def _batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch
