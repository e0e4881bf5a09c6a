"""`o sandbox`: what confines tools, and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Sandboxes: what confines the code of tools.")


@app.command(epilog="Example: `o tool run f.py --record call.json` · `o sandbox replay call.json`")
def replay(
    recording: Annotated[Path, typer.Argument(help="What `o tool run --record` wrote.")],
) -> None:
    """Run a recorded call again, its host's answers from the recording; 0 if all is the same."""
    from o_platform.cli import tool_files

    if not tool_files.replay(recording):
        raise typer.Exit(1)
