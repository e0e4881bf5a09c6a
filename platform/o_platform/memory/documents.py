"""The text of documents: plain text at once, PDF and Word in a process of their own.

A document may be made to hurt its reader, so what is more than text is read by a process that is
jailed before it looks at the first byte, and ended when it takes too long.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import PurePath
from typing import Final

import msgspec

from o_platform.errors import BadInputError

READER: Final = "o_platform.memory.document_reader"
READ_S: Final = 120.0
MAX_TEXT_CHARACTERS: Final = 20_000_000
TEXT_SUFFIXES: Final = frozenset(
    {
        "", ".bat", ".c", ".cfg", ".conf", ".cpp", ".cs", ".css", ".csv", ".go", ".h", ".hpp",
        ".html", ".htm", ".ini", ".java", ".js", ".json", ".jsonl", ".kt", ".log", ".lua", ".md",
        ".markdown", ".php", ".pl", ".py", ".r", ".rb", ".rs", ".rst", ".scala", ".sh", ".sql",
        ".srt", ".svg", ".swift", ".tex", ".toml", ".ts", ".tsv", ".tsx", ".txt", ".vtt", ".xml",
        ".yaml", ".yml",
    }
)  # fmt: skip
KINDS: Final = {".pdf": "pdf", ".docx": "docx"}
"""Documents that a process of their own reads, by suffix."""
_MEDIA_KINDS: Final = {
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
}


class Reading(msgspec.Struct, frozen=True):
    """What the reader says: the text, or why there is none."""

    text: str = ""
    problem: str = ""


def kind_of(name: str, media_type: str) -> str:
    """`text`, `pdf` or `docx`, as the name of the file says, else its media type.

    Raises:
        BadInputError: it is of no kind that can be read.
    """
    suffix = PurePath(name).suffix.lower()
    kind = KINDS.get(suffix) or _MEDIA_KINDS.get(media_type)
    if kind is not None:
        return kind
    if suffix in TEXT_SUFFIXES or media_type.startswith("text/"):
        return "text"
    raise BadInputError(
        f"{name!r} ({media_type}) cannot be read; text, Markdown, PDF and Word (.docx) can",
        field="file",
    )


def plain_text(data: bytes) -> str:
    """The text of a text file, in UTF-8 or else UTF-16 with a mark; line ends become plain.

    Raises:
        BadInputError: it is not text, or too much.
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"the file is no text in UTF-8: {error.reason} at byte {error.start}", field="file"
        ) from None
    return storable(text)


def storable(text: str) -> str:
    """The text with plain line ends, and without characters that PostgreSQL cannot keep.

    Raises:
        BadInputError: it is longer than `MAX_TEXT_CHARACTERS`.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise BadInputError(
            f"the document has {len(text)} characters; {MAX_TEXT_CHARACTERS} can be kept: split it",
            field="file",
        )
    text = (
        text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    )
    return text if text.isascii() else text.encode(errors="replace").decode()


async def document_text(data: bytes, kind: str, *, timeout_s: float = READ_S) -> str:
    """The text of a document of this kind.

    Raises:
        BadInputError: it cannot be read; says why.
    """
    if kind == "text":
        return plain_text(data)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", READER, kind,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env={},
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_s):
            answer, _ = await process.communicate(data)
    except TimeoutError:
        raise BadInputError(f"the document could not be read in {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BadInputError(f"reading the document failed (exit code {process.returncode})")
    reading = msgspec.json.decode(answer, type=Reading)
    if reading.problem:
        raise BadInputError(f"the document cannot be read: {reading.problem}")
    return storable(reading.text)
