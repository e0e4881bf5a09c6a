"""`o tool`: tools in files, checked and run here, without an agent and without the platform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o_platform.cli.terminal import print_table, say

app = typer.Typer(no_args_is_help=True, help="Tools in files: check and run them here.")
FileArgument = Annotated[Path, typer.Argument(help="A .py, .js, .wat or .wasm file.")]
_NO_GRANTS: list[str] = []


@app.command(epilog="Example: `o tool check tools/weather.py`")
def check(
    file: Annotated[Path, typer.Argument(help="A file of Python tools, as a genome has them.")],
) -> None:
    """Show what a model would be told of each tool; says the line of what is wrong."""
    from o_platform.cli import tool_files

    rows = [
        (
            one.name,
            one.tier or "wasm",
            ", ".join(one.grants),
            ", ".join(one.parameters["properties"]),
            one.description.split("\n", 1)[0],
        )
        for one in tool_files.checked(file)
    ]
    print_table(("tool", "tier", "grants", "arguments", "description"), rows)


@app.command(
    epilog='Examples: `o tool run tools/weather.py forecast --args \'{"city": "Oslo"}\' '
    "--grant http.fetch:api.example.org` · `o tool run double.js double --args '{\"x\": 21}'`"
)
def run(
    file: FileArgument,
    name: Annotated[str, typer.Argument(help="The function; may be left out of a .py file.")] = "",
    args: Annotated[str, typer.Option(help="A JSON object.")] = "{}",
    tier: Annotated[
        str | None, typer.Option(help="wasm, module, restricted or container; default: the tool's.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="`component` for a .wasm or .wat that is one.")
    ] = None,
    grant: Annotated[
        list[str],
        typer.Option(
            help="`o.sleep`, `scratch`, `http.fetch:DOMAIN`, `secrets.use:NAME` (from the "
            "environment's variable NAME); may be given again. The tool's own need no mention."
        ),
    ] = _NO_GRANTS,
    wall_s: Annotated[float, typer.Option(help="Seconds it may take.")] = 30.0,
    memory_mb: Annotated[int, typer.Option(help="Megabytes it may have.")] = 128,
    record: Annotated[
        Path | None, typer.Option(help="Write the call to this file, for `o sandbox replay`.")
    ] = None,
) -> None:
    """Run a tool once in its sandbox: output as it comes, then the result as JSON."""
    from o_platform.cli import tool_files

    request = tool_files.Request(
        file, name, args, tier, language, tuple(grant), wall_s, memory_mb * 1024 * 1024
    )
    recording = tool_files.run(request)
    if record is not None:
        record.write_bytes(recording.to_json())
        say(f"recorded in {record}")
    if not recording.outcome.is_ok:
        raise typer.Exit(1)
