"""`o import`: agents from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from o_platform.cli.terminal import print_json, say
from o_platform.errors import OError

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


def _tell(results: list[dict[str, Any]]) -> None:
    for result in results:
        if "error" in result:
            say(f"{result['file']}: refused: {result['error']}")
            continue
        say(f"{result['file']}: {', '.join(result['agent_ids'])}")
        for note in result["notes"]:
            say(f"  left out: {note}")
