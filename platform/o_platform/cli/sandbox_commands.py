"""`o sandbox`: what confines tools, and whether it holds."""

from __future__ import annotations

import subprocess
import sys
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


@app.command(epilog="Example: `o sandbox bench --quick`")
def bench(
    quick: Annotated[bool, typer.Option(help="Few repetitions, for a first look.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of `sandboxes.json`, the figures.")] = Path(
        "bench-out"
    ),
) -> None:
    """Measure calls in each tier beside a process, `docker exec` and other sandboxes."""
    command = [sys.executable, "-m", "o_benchmarks.sandboxes", "--out", str(out)]
    done = subprocess.run([*command, *["--quick"] * quick], check=False)  # noqa: S603
    raise typer.Exit(done.returncode)


@app.command(
    epilog="Examples: `o sandbox attack --tier wasm` · `o sandbox attack --tier restricted --only "
    "frames --no-control` · `o sandbox attack --tier all --out report.json`"
)
def attack(
    tier: Annotated[
        list[str] | None,
        typer.Option(help="restricted, wasm, module, container, all; may be given again. [wasm]"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="An attack's id, a family or a group; may be given again."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Run one in so many of each family.")] = 1,
    seed: Annotated[int, typer.Option(help="Which ones `--every` draws.")] = 0,
    lanes: Annotated[int, typer.Option(min=1, max=16, help="How many run side by side.")] = 2,
    control: Annotated[
        bool, typer.Option(help="First let them succeed, in a container without network.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="Write the whole report to this file, as JSON.")
    ] = None,
) -> None:
    """Run hostile tools against a tier; 0 only if none of them escapes, spoils or overruns."""
    from o_platform.cli import attack_run

    tiers = tuple(tier or ("wasm",))
    request = attack_run.Request(tiers, tuple(only or ()), every, seed, lanes, control, out)
    if not attack_run.run(request):
        raise typer.Exit(1)
