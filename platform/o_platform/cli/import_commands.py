"""`o import`: agents from elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o_platform.cli.terminal import print_json, say
from o_platform.errors import OError

if TYPE_CHECKING:
    from o_platform.cli.letta_import import Report

app = typer.Typer(no_args_is_help=True, help="Take over agents from elsewhere.")
FAILED = 1


@app.command(
    epilog="Examples: `o import af ada.af` · `o import af *.af --model openai/gpt-4.1-mini`"
)
def af(
    files: Annotated[
        list[Path], typer.Argument(help="Agent files.", exists=True, dir_okay=False, readable=True)
    ],
    lineage: Annotated[str, typer.Option(help="Lineage of the new agents.")] = "default",
    model: Annotated[str | None, typer.Option(help="Model instead of the file's.")] = None,
    embedding: Annotated[
        str | None, typer.Option(help="Embedding model instead of the file's.")
    ] = None,
    strip_messages: Annotated[
        bool, typer.Option("--strip-messages", help="Leave their messages out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create the agents of agent files, each file whole or not at all, under new ids.

    A file that is refused does not keep the others from being read.
    """
    from o_platform.cli.connection import connect

    fields = {"model": model, "embedding": embedding, "strip_messages": str(strip_messages)}
    api, results = connect(), []
    for file in files:
        try:
            answer = api.send_file("/v1/agents/import", file, fields, {"x-o-lineage": lineage})
            results.append({"file": str(file), **answer})
        except OError as error:
            results.append({"file": str(file), "error": error.message})
    if as_json:
        print_json(results)
    else:
        _tell(results)
    if any("error" in result for result in results):
        raise typer.Exit(FAILED)


@app.command(epilog="Example: `o import letta --database postgresql://letta:…@db/letta`")
def letta(
    database: Annotated[
        str,
        typer.Option(
            help="URL of the server's PostgreSQL; it is only read.", envvar="LETTA_PG_URI"
        ),
    ],
    model: Annotated[str | None, typer.Option(help="Model instead of the agents'.")] = None,
    embedding: Annotated[
        str | None, typer.Option(help="Embedding model instead of the agents'.")
    ] = None,
    with_runs: Annotated[
        bool, typer.Option("--with-runs", help="Take over runs that have ended and their steps.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take over every agent of a Letta server (0.16.x): blocks, tools, conversations, archives.

    Ids stay, so that programs go on. What is here already stays as it is: run it again after it was
    broken off, or to fetch what has been added since.
    """
    from o_platform.cli.connection import connect
    from o_platform.cli.letta_database import opened
    from o_platform.cli.letta_import import LettaImport

    with opened(database) as source:
        tell = (lambda line: None) if as_json else _progress
        report = LettaImport(
            source, connect(), model=model, embedding=embedding, with_runs=with_runs, tell=tell
        ).run()
    if as_json:
        print_json(asdict(report))
    else:
        _report(report)
    if report.failed:
        raise typer.Exit(FAILED)


def _progress(line: str) -> None:
    typer.echo(f"\r{line}", err=True, nl=False)


def _report(report: Report) -> None:
    typer.echo("", err=True)
    for what, count in report.counts.items():
        say(f"{count} {what}")
    for note in dict.fromkeys(report.notes):
        say(f"left out: {note}")
    for failure in report.failed:
        say(f"failed: {failure}")


def _tell(results: list[dict[str, Any]]) -> None:
    for result in results:
        if "error" in result:
            say(f"{result['file']}: refused: {result['error']}")
            continue
        say(f"{result['file']}: {', '.join(result['agent_ids'])}")
        for note in result["notes"]:
            say(f"  left out: {note}")
