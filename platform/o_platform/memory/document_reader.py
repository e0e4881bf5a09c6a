"""A process that reads one document: `python -m o_platform.memory.document_reader pdf`.

It takes the document from its standard input, jails itself, and writes the text as JSON. What the
parsers would import later is imported before, since nothing can be opened afterwards.
"""

from __future__ import annotations

import encodings
import io
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Final

import msgspec

from o_platform.memory.documents import Reading
from o_sandbox.jail import Jail, enter

MEMORY_BYTES: Final = 1024**3
CPU_S: Final = 110


def read(kind: str, data: bytes) -> Reading:
    """The text of the document, or why it cannot be had."""
    _import_all(encodings)
    parse = _PARSERS[kind]()
    enter(Jail(memory_bytes=MEMORY_BYTES, cpu_s=CPU_S))
    try:
        return Reading(text="\n".join(parse(data)).strip())
    except Exception as error:  # noqa: BLE001 — whatever a parser raises is about the document
        return Reading(problem=f"{type(error).__name__}: {error}"[:500])


def main() -> None:
    """Read the document, write its text."""
    reading = read(sys.argv[1], sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgspec.json.encode(reading))
    sys.stdout.buffer.flush()


Parser = Callable[[bytes], Iterator[str]]


def _pdf() -> Parser:
    import pypdf

    _import_all(pypdf)

    def parse(data: bytes) -> Iterator[str]:
        document = pypdf.PdfReader(io.BytesIO(data))
        if document.is_encrypted and not document.decrypt(""):
            raise ValueError("it is protected by a password")
        for number, page in enumerate(document.pages, start=1):
            yield f"# Page {number}\n\n{page.extract_text().strip()}\n"

    return parse


def _docx() -> Parser:
    import docx
    from docx.table import Table
    from docx.text.paragraph import Paragraph

    def parse(data: bytes) -> Iterator[str]:
        document = docx.Document(io.BytesIO(data))
        for part in document.iter_inner_content():
            if isinstance(part, Paragraph):
                yield _paragraph(part.style.name if part.style else "", part.text)
            elif isinstance(part, Table):
                for row in part.rows:
                    yield " | ".join(cell.text.replace("\n", " ") for cell in row.cells)
                yield ""

    return parse


def _import_all(package: ModuleType) -> None:
    """Import every module of a package that can be."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        with suppress(ImportError):
            import_module(found.name)


def _paragraph(style: str | None, text: str) -> str:
    """A paragraph as Markdown: headings and list items keep their looks."""
    kind, _, level = (style or "").partition(" ")
    if kind == "Heading" and level.isdecimal():
        return f"\n{'#' * int(level)} {text}\n"
    if kind == "List":
        return f"- {text}"
    return f"{text}\n" if text else ""


_PARSERS: Final[dict[str, Callable[[], Parser]]] = {"pdf": _pdf, "docx": _docx}

if __name__ == "__main__":
    main()
