"""`o variant`: genomes as variants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o_platform.cli.terminal import ago, print_json, print_table, say, short_digest

app = typer.Typer(
    no_args_is_help=True, help="Variants: genomes in a lineage, named by their digest."
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LineageOption = Annotated[str, typer.Option(help="Name of the lineage.")]
VariantArgument = Annotated[str, typer.Argument(help="Digest, or its first 4 or more hex digits.")]


@app.command(epilog="Example: `o variant create --from ./my-genome`, then `o rollout start DIGEST`")
def create(
    folder: Annotated[
        Path,
        typer.Option("--from", help="A folder with genome.toml.", exists=True, file_okay=False),
    ],
    lineage: LineageOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Check a genome and store it as a candidate. The same genome gives the same variant."""
    from o_platform.cli.connection import connect
    from o_platform.images.genome import Genome

    genome = Genome.from_dir(folder)
    saved = connect().upload("/o/v1/variants", genome.tar, lineage=lineage, origin="operator")
    if as_json:
        print_json(saved)
        return
    new = "a new variant" if saved["created"] else "known already"
    say(f"{saved['digest']} ({new})")
    say(f"next: o rollout start {short_digest(saved['digest'])} --lineage {lineage}")


@app.command(
    "list", epilog="Examples: `o variant list` · `o variant list --lineage support --json`"
)
def list_variants(lineage: LineageOption = "default", as_json: JsonOption = False) -> None:
    """List a lineage's variants, the newest first."""
    from o_platform.cli.connection import connect

    variants = connect().get("/o/v1/variants", lineage=lineage)
    if as_json:
        print_json(variants)
        return
    rows = (
        (short_digest(v["digest"]), v["status"], v["origin"], v["size_bytes"], ago(v["created_at"]))
        for v in variants
    )
    print_table(("variant", "status", "origin", "bytes", "made"), rows)


@app.command(epilog="Examples: `o variant show 3f9c` · `o variant show 3f9c --json`")
def show(variant: VariantArgument, as_json: JsonOption = False) -> None:
    """Show a variant: its place in lineages, its parameters and files."""
    from o_platform.cli.connection import connect

    found = connect().get(f"/o/v1/variants/{variant}")
    if as_json:
        print_json(found)
        return
    say(f"variant  {found['digest']}")
    say(f"origin   {found['origin']}, {ago(found['created_at'])}, {found['size_bytes']} bytes")
    for lineage, status in found["lineages"].items():
        say(f"lineage  {lineage}: {status}")
    for path, text in found["files"].items():
        typer.secho(f"\n── {path}", bold=True)
        say("(not text)" if text is None else text.rstrip())


@app.command(epilog="Example: `o variant diff 3f9c 81ab`")
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="The variant before.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The variant after.")],
) -> None:
    """Show what turns variant A into variant B."""
    from o_platform.cli.connection import connect

    text = connect().get(f"/o/v1/variants/{a}/diff/{b}")["diff"]
    if not text:
        say("no difference")
    for line in text.splitlines():
        color = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}.get(
            line[:1]
        )
        typer.secho(line, fg=color)
