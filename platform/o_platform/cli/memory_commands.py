"""`o memory`: the history of memory blocks, and undo."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from o_platform.cli.terminal import ago, print_json, print_table, say

app = typer.Typer(no_args_is_help=True, help="Memory blocks: who changed them and why; undo.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BlockArgument = Annotated[
    str, typer.Argument(help="A block's id, or an agent's id followed by the block's label.")
]
LabelArgument = Annotated[str, typer.Argument(help="The label, after an agent's id.")]
_SHOWN = 60


@app.command(
    epilog="Examples: `o memory history block-1f0c…` · `o memory history agent-0000… human`"
)
def history(
    block: BlockArgument,
    label: LabelArgument = "",
    limit: Annotated[int, typer.Option(help="How many versions.", min=1, max=1000)] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the versions of a block, the newest first."""
    from o_platform.cli.connection import connect

    block_id = _block_id(block, label)
    versions = connect().get(f"/o/v1/blocks/{block_id}/history", limit=limit)
    if as_json:
        print_json(versions)
        return
    if not versions:
        say(f"{block_id} was never edited")
        return
    rows = ((v["version"], ago(v["created_at"]), v["who"], v["why"], _start(v)) for v in versions)
    print_table(("version", "when", "who", "why", "text"), rows)


@app.command(
    epilog="Examples: `o memory undo agent-0000… human` · `o memory undo block-1f0c… --to 3`"
)
def undo(
    block: BlockArgument,
    label: LabelArgument = "",
    version: Annotated[
        int | None, typer.Option("--to", help="A version; absent: before the last change of text.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a block an earlier text, as a new version; undo again to go further back."""
    from o_platform.cli.connection import connect

    block_id = _block_id(block, label)
    changed = connect().post(f"/o/v1/blocks/{block_id}/undo", {"version": version})
    if as_json:
        print_json(changed)
        return
    say(f"{block_id} ({changed['label']}) reads now:")
    say(changed["value"])


def _block_id(block: str, label: str) -> str:
    from o_platform.cli.connection import connect

    if not label:
        return block
    return str(connect().get(f"/v1/agents/{block}/core-memory/blocks/{label}")["id"])


def _start(version: dict[str, Any]) -> str:
    text = " ".join(version["value"].split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
