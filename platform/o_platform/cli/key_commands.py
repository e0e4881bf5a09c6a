"""`o keys`: API keys, and the keys that seal data at rest."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from o_platform.cli.terminal import ago, print_json, print_table, say

app = typer.Typer(
    no_args_is_help=True, help="API keys: make, list, revoke. Keys that encrypt data at rest."
)
_LOOK_S: Final = 0.5
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Examples: `o keys create web-shop` · `o keys create ada --role operator`")
def create(
    name: Annotated[str, typer.Argument(help="Who will use it: 1–64 letters, digits or ._@-")],
    role: Annotated[
        str, typer.Option(help="`client` talks to agents; `operator` also to /o/v1.")
    ] = "client",
    as_json: JsonOption = False,
) -> None:
    """Make a key. Its token is printed now and never again."""
    from o_platform.cli.connection import connect

    key = connect().post("/o/v1/keys", {"name": name, "role": role})
    if as_json:
        print_json(key)
        return
    say(f"{key['id']} ({role}, {name}); the token is not stored, keep it:")
    say(key["token"])


@app.command("list", epilog="Examples: `o keys list` · `o keys list --json`")
def list_keys(as_json: JsonOption = False) -> None:
    """List every key ever made, the newest first."""
    from o_platform.cli.connection import connect

    keys = connect().get("/o/v1/keys")
    if as_json:
        print_json(keys)
        return
    rows = (
        (k["id"], k["name"], k["role"], ago(k["created_at"]), ago(k["revoked_at"])) for k in keys
    )
    print_table(("id", "name", "role", "made", "revoked"), rows)


@app.command(epilog="Example: `o keys revoke key-1f0c…`")
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id; see `o keys list`.")]) -> None:
    """Revoke a key; when this returns, Envoy refuses it."""
    from o_platform.cli.connection import connect

    key = connect().delete(f"/o/v1/keys/{key_id}")
    say(f"{key['id']} ({key['name']}) is revoked")


@app.command(epilog="Examples: `o keys encryption` · `o keys encryption --json`")
def encryption(as_json: JsonOption = False) -> None:
    """Show the encryption keys by name, and how far sealing with the newest has come."""
    from o_platform.cli.connection import connect

    keys = connect().get("/o/v1/encryption")
    if as_json:
        print_json(keys)
        return
    print_table(("key", "made", "rows"), ((k["id"], ago(k["created_at"]), _rows(k)) for k in keys))


@app.command("rotate-encryption", epilog="Example: `o keys rotate-encryption --wait`")
def rotate_encryption(
    wait: Annotated[bool, typer.Option("--wait", help="Return when all is sealed anew.")] = False,
) -> None:
    """Make a new encryption key, and seal everything anew with it in the background."""
    from o_platform.cli.connection import connect

    keys = connect().post("/o/v1/encryption/rotate")
    say(f"{keys[0]['id']} seals from now on; keep a copy of <home>/keys/encryption.key")
    while wait and keys[0]["sealed_at"] is None:
        time.sleep(_LOOK_S)
        keys = connect().get("/o/v1/encryption")
    say(_rows(keys[0]))


def _rows(key: dict[str, Any]) -> str:
    if key["sealed_at"] is not None:
        return f"all sealed {ago(key['sealed_at'])}"
    done = sum(part["done"] for part in key["progress"])
    total = sum(part["total"] for part in key["progress"])
    return f"{done} of {total} looked at"
