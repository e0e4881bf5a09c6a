"""Folders and documents over the API: uploaded, read, cut up, opened by agents."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import docx
import httpx
import pytest
from letta_client import ConflictError, Letta, NotFoundError, UnprocessableEntityError
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from o_platform.agents.file_reading import FileReading
from o_platform.db.engine import Database
from o_platform.llm.embedding import embedders
from o_platform.memory.reembedding import Reembedding
from o_platform.testing.vault import vault_of_tests

pytestmark = pytest.mark.contract
NOTES = b"# Iceland\n\nThere is a volcano.\n\n# Kenya\n\nThere are lions.\n"


class _Forgets:
    async def drop(self, agent_ids: Any) -> None:
        self.agent_ids = agent_ids


@pytest.fixture
def read_all(database_url: str) -> Any:
    """Does what the control plane does in the background."""

    async def work() -> None:
        database = Database(database_url, vault_of_tests())
        reading = FileReading(database, _Forgets())
        while await reading.step():
            pass
        job = Reembedding(database, embedders(None))  # type: ignore[arg-type]
        while await job.step():
            pass
        await database.close()

    return lambda: asyncio.run(work())


def upload(letta: Letta, folder: str, path: str, data: bytes, **fields: Any) -> str:
    return letta.folders.files.upload(folder, file=(path, io.BytesIO(data)), **fields).id


def pdf(text: str) -> bytes:
    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): font})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
    page[NameObject("/Contents")] = writer._add_object(stream)
    data = io.BytesIO()
    writer.write(data)
    return data.getvalue()


def word(*paragraphs: str) -> bytes:
    document = docx.Document()
    document.add_heading("Report", level=1)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "left", "right"
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def test_a_folder_is_made_changed_listed_and_deleted(letta: Letta) -> None:
    made = letta.folders.create(name="docs", description="d", embedding_chunk_size=200)
    assert (made.name, made.description) == ("docs", "d")
    assert made.embedding_config.handle == "o/hash"
    assert made.embedding_config.embedding_chunk_size == 200
    with pytest.raises(ConflictError, match="docs"):
        letta.folders.create(name="docs")
    other = letta.folders.create(name="other")
    assert [one.id for one in letta.folders.list(limit=1, order="asc")] == [made.id, other.id]
    assert list(letta.archives.list()) == []
    changed = letta.folders.update(made.id, name="papers", instructions="cite them")
    assert (changed.name, changed.instructions, changed.description) == ("papers", "cite them", "d")
    letta.folders.delete(made.id)
    with pytest.raises(NotFoundError):
        letta.folders.retrieve(made.id)


def test_text_is_there_at_once_and_embedded_later(letta: Letta, read_all: Any) -> None:
    folder = letta.folders.create(name="docs", embedding_chunk_size=25).id
    file = upload(letta, folder, "notes.md", NOTES)
    found = letta.folders.files.retrieve(file, folder_id=folder, include_content=True)
    assert (found.content, found.processing_status) == (NOTES.decode(), "pending")
    read_all()
    done = letta.folders.files.retrieve(file, folder_id=folder)
    assert (done.processing_status, done.total_chunks, done.chunks_embedded) == ("completed", 1, 1)
    assert done.content is None
    hit = letta.passages.search(query="volcano")[0].passage
    assert "There is a volcano." in hit.text
    letta.folders.files.delete(file, folder_id=folder)
    assert letta.passages.search(query="volcano") == []


def test_documents_are_read_in_the_background(letta: Letta, read_all: Any) -> None:
    folder = letta.folders.create(name="docs").id
    files = {
        "a.pdf": upload(letta, folder, "a.pdf", pdf("Hello volcano")),
        "b.docx": upload(letta, folder, "b.docx", word("Some lions.", "More lions.")),
        "c.pdf": upload(letta, folder, "c.pdf", b"%PDF-1.4 no document"),
    }
    read_all()
    found = {one.file_name: one for one in letta.folders.files.list(folder, include_content=True)}
    assert found["a.pdf"].content == "# Page 1\n\nHello volcano"
    assert found["b.docx"].content == "# Report\n\nSome lions.\n\nMore lions.\n\nleft | right"
    assert found["c.pdf"].processing_status == "error"
    assert "cannot be read" in (found["c.pdf"].error_message or "")
    assert {name: one.id for name, one in found.items()} == files


def test_names_that_are_taken(letta: Letta) -> None:
    folder = letta.folders.create(name="docs").id
    first = upload(letta, folder, "a.txt", b"one")
    assert upload(letta, folder, "a.txt", b"two", duplicate_handling="skip") == first
    with pytest.raises(ConflictError, match=r"a\.txt"):
        upload(letta, folder, "a.txt", b"two", duplicate_handling="error")
    upload(letta, folder, "a.txt", b"two")
    third = upload(letta, folder, "a.txt", b"three", duplicate_handling="replace")
    named = upload(letta, folder, "a.txt", b"four", name="b.txt")
    found = {one.file_name: one.id for one in letta.folders.files.list(folder)}
    assert found["a.txt"] == third != first
    assert found["b.txt"] == named
    assert set(found) == {"a.txt", "a_(1).txt", "b.txt"}


def test_what_cannot_be_read_is_refused(letta: Letta, http: httpx.Client) -> None:
    folder = letta.folders.create(name="docs").id
    for name, data in (("a.exe", b"MZ"), ("a.txt", b"\xff\x00\xfa"), ("a.zip", b"PK")):
        with pytest.raises(UnprocessableEntityError):
            upload(letta, folder, name, data)
    assert list(letta.folders.files.list(folder)) == []
    other = "source-00000000-0000-4000-8000-000000000000"
    missing = http.post(f"/v1/folders/{other}/upload", files={"file": ("a.txt", b"x")})
    assert missing.status_code == 404


def test_an_agent_is_made_with_folders(letta: Letta) -> None:
    folder = letta.folders.create(name="docs", description="d")
    agent = letta.agents.create(folder_ids=[folder.id])
    assert [(source.id, source.description) for source in agent.sources] == [(folder.id, "d")]
    assert "open_files" in [tool.name for tool in agent.tools]
    with pytest.raises(NotFoundError):
        letta.agents.create(folder_ids=["source-00000000-0000-4000-8000-000000000000"])


def test_an_agents_folders_are_replaced(letta: Letta) -> None:
    first, second = (letta.folders.create(name=name).id for name in ("one", "two"))
    file = upload(letta, first, "a.txt", b"text")
    agent = letta.agents.create(folder_ids=[first]).id
    letta.agents.files.open(file, agent_id=agent)
    changed = letta.agents.update(agent, folder_ids=[second, second])
    assert [source.id for source in changed.sources] == [second]
    assert "open_files" in [tool.name for tool in changed.tools]
    assert list(letta.agents.files.list(agent)) == []
    with pytest.raises(NotFoundError):
        letta.agents.update(agent, folder_ids=["source-00000000-0000-4000-8000-000000000000"])
    assert [one.id for one in letta.agents.folders.list(agent)] == [second]
    assert letta.agents.update(agent, name="n").sources == changed.sources
    none = letta.agents.update(agent, folder_ids=[])
    assert none.sources == []
    assert "open_files" not in [tool.name for tool in none.tools]
    letta.agents.update(agent, folder_ids=[first])
    assert [one.id for one in letta.agents.folders.list(agent)] == [first]
    letta.agents.folders.attach(second, agent_id=agent)
    letta.agents.folders.attach(first, agent_id=agent)
    assert list(letta.agents.files.list(agent, is_open=True)) == []


def test_an_agent_reads_folders(letta: Letta) -> None:
    folder = letta.folders.create(name="docs").id
    ids = [upload(letta, folder, f"{n}.txt", b"one\ntwo\nthree") for n in range(4)]
    agent = letta.agents.create(max_files_open=2).id
    letta.agents.folders.attach(folder, agent_id=agent)
    letta.agents.folders.attach(folder, agent_id=agent)
    tools = {tool.name for tool in letta.agents.tools.list(agent)}
    assert {"open_files", "grep_files", "semantic_search_files"} <= tools
    assert [one.id for one in letta.agents.folders.list(agent)] == [folder]
    assert list(letta.folders.agents.list(folder)) == [agent]
    pages = letta.agents.files.list(agent, limit=3, order="asc")
    assert [one.file_id for one in pages] == ids

    assert letta.agents.files.open(ids[0], agent_id=agent) == []
    assert letta.agents.files.open(ids[1], agent_id=agent) == []
    assert letta.agents.files.open(ids[2], agent_id=agent) == ["0.txt"]
    shown = list(letta.agents.files.list(agent, is_open=True, order="asc"))
    assert [one.file_name for one in shown] == ["1.txt", "2.txt"]
    assert shown[0].visible_content == "1: one\n2: two\n3: three"
    assert len(list(letta.agents.files.list(agent, is_open=False))) == 2
    letta.agents.files.close(ids[1], agent_id=agent)
    assert letta.agents.files.close_all(agent) == ["2.txt"]
    with pytest.raises(NotFoundError):
        letta.agents.files.open("file-00000000-0000-4000-8000-000000000000", agent_id=agent)

    letta.agents.folders.detach(folder, agent_id=agent)
    assert list(letta.agents.files.list(agent)) == []
    assert "open_files" not in [tool.name for tool in letta.agents.tools.list(agent)]
    with pytest.raises(NotFoundError):
        letta.agents.folders.detach(folder, agent_id=agent)
