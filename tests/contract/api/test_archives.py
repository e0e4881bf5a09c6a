"""Archives and passages over the real SDK: an agent's memory, shared archives, search, paging."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import letta_client
import pytest
from letta_client import Letta

from o_contracts.ids import new_id

pytestmark = pytest.mark.contract


def test_archival_memory_of_an_agent(letta: Letta) -> None:
    agent = letta.agents.create(timezone="Europe/Berlin")
    then = datetime(2026, 1, 2, 12, tzinfo=UTC)
    (tea,) = letta.agents.passages.create(
        agent.id, text="Ada likes green tea", tags=["drink", "ada"], created_at=then
    )
    (dog,) = letta.agents.passages.create(agent.id, text="The dog is called Turing", tags=["ada"])
    assert (tea.tags, tea.created_at, len(tea.embedding or [])) == (["drink", "ada"], then, 256)
    assert tea.archive_id == dog.archive_id

    found = letta.agents.passages.search(agent.id, query="what tea does she like?")
    assert [hit.id for hit in found.results] == [tea.id]
    assert found.results[0].content == "Ada likes green tea"
    assert found.results[0].timestamp == "2026-01-02T13:00:00+01:00"

    def search(**more: object) -> list[str]:
        hits = letta.agents.passages.search(agent.id, query="tea or dog?", **more)  # type: ignore[arg-type]
        return sorted(hit.id for hit in hits.results)

    assert search(tags=["drink"]) == [tea.id]
    assert search(tags=["drink", "ada"], tag_match_mode="all") == [tea.id]
    assert search(tags=["drink", "ada"]) == sorted([tea.id, dog.id])
    assert len(search(top_k=1)) == 1
    assert search(end_datetime=then + timedelta(hours=1)) == [tea.id]
    assert search(start_datetime=then + timedelta(hours=1)) == [dog.id]
    assert search(start_datetime="2026-01-02", end_datetime="2026-01-02") == [tea.id]
    assert search(end_datetime="2026-01-01") == []

    listed = letta.agents.passages.list(agent.id)
    assert [one.id for one in listed] == [tea.id, dog.id]
    assert [one.id for one in letta.agents.passages.list(agent.id, ascending=False)][0] == dog.id
    assert [one.id for one in letta.agents.passages.list(agent.id, after=str(tea.id))] == [dog.id]
    assert [one.id for one in letta.agents.passages.list(agent.id, search="TURING")] == [dog.id]
    letta.agents.passages.delete(str(dog.id), agent_id=agent.id)
    with pytest.raises(letta_client.NotFoundError):
        letta.agents.passages.delete(str(dog.id), agent_id=agent.id)
    with pytest.raises(letta_client.NotFoundError):
        letta.agents.passages.create(new_id("agent"), text="x")
    with pytest.raises(letta_client.UnprocessableEntityError, match="blank"):
        letta.agents.passages.create(agent.id, text=" ")


def test_shared_archives(letta: Letta) -> None:
    archive = letta.archives.create(name="wiki", description="d", embedding="o/hash")
    assert archive.embedding_config is not None
    assert archive.embedding_config.embedding_dim == 256
    assert letta.archives.retrieve(archive.id) == archive
    first, second = letta.agents.create(), letta.agents.create()
    for agent in (first, second):
        letta.agents.archives.attach(archive.id, agent_id=agent.id)
        letta.agents.archives.attach(archive.id, agent_id=agent.id)
    assert [one.id for one in letta.archives.list(agent_id=first.id)] == [archive.id]
    (fact,) = letta.agents.passages.create(first.id, text="The release is on Tuesday")
    assert fact.archive_id == archive.id
    assert letta.agents.passages.search(second.id, query="release").count == 1
    letta.agents.archives.detach(archive.id, agent_id=second.id)
    assert letta.agents.passages.search(second.id, query="release").count == 0
    with pytest.raises(letta_client.NotFoundError, match="does not hold"):
        letta.agents.archives.detach(archive.id, agent_id=second.id)
    letta.agents.delete(first.id)
    assert [hit.passage.id for hit in letta.passages.search(query="tuesday")] == [fact.id]
    assert letta.archives.update(archive.id, name="w", description=None).description is None
    letta.archives.delete(archive.id)
    with pytest.raises(letta_client.NotFoundError):
        letta.archives.retrieve(archive.id)
    assert letta.passages.search(query="tuesday") == []


def test_an_agents_own_archive_goes_with_it(letta: Letta) -> None:
    agent, other = letta.agents.create(name="ada"), letta.agents.create()
    letta.agents.passages.create(agent.id, text="alone")
    (own,) = letta.archives.list(agent_id=agent.id).items
    assert own.name == "ada"
    letta.agents.passages.create(other.id, text="shared later")
    (shared,) = letta.archives.list(agent_id=other.id).items
    letta.agents.archives.attach(shared.id, agent_id=agent.id)
    letta.agents.delete(other.id)
    assert {one.text for one in letta.agents.passages.list(agent.id)} == {"alone", "shared later"}
    letta.agents.delete(agent.id)
    assert [one.id for one in letta.archives.list()] == [shared.id]


def test_passages_of_an_archive(letta: Letta, http: httpx.Client) -> None:
    archive = letta.archives.create(name="wiki")
    one = letta.archives.passages.create(
        archive.id, text="one apple", metadata={"n": 1}, created_at="2026-01-01T00:00:00Z"
    )
    assert (one.metadata, one.tags) == ({"n": 1}, None)
    many = letta.archives.passages.create_many(
        archive.id, passages=[{"text": "two apples", "tags": ["x"]}, {"text": "three pears"}]
    )
    assert [passage.text for passage in many] == ["two apples", "three pears"]
    refused = http.post(
        f"/v1/archives/{archive.id}/passages/batch",
        json={"passages": [{"text": "a"}, {"text": ""}]},
    )
    assert refused.status_code == 422
    hits = letta.passages.search(query="apples", archive_id=archive.id)
    assert [hit.passage.text for hit in hits] == ["two apples", "one apple"]
    assert 0 < hits[1].score < hits[0].score <= 1
    assert len(letta.passages.search(archive_id=archive.id, limit=2)) == 2
    both = http.post(
        "/v1/passages/search",
        json={"query": "x", "archive_id": archive.id, "agent_id": new_id("agent")},
    )
    assert both.status_code == 422
    letta.archives.passages.delete(str(one.id), archive_id=archive.id)
    assert letta.passages.search(query="one", archive_id=archive.id) == []
    with pytest.raises(letta_client.NotFoundError):
        letta.archives.passages.delete(str(one.id), archive_id=archive.id)


def test_paging_and_models(letta: Letta, http: httpx.Client) -> None:
    made = [letta.archives.create(name=f"a{n}").id for n in range(5)]
    assert [one.id for one in letta.archives.list(order="asc", limit=2)] == made
    assert [one.id for one in letta.archives.list(name="a3")] == [made[3]]
    assert [model.handle for model in letta.models.embeddings.list()][0] == "o/hash"
    unknown = http.post("/v1/archives/", json={"name": "x", "embedding": "o/other"})
    assert unknown.status_code == 422
    assert "no embedding model" in unknown.json()["detail"]
    moved = http.patch(f"/v1/archives/{made[0]}", json={"embedding": "o/hash"})
    assert moved.json()["next_embedding"] is None
