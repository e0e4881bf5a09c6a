"""The command `o`: its commands, their help, and how they end.

Commands import what they need when they run, so that `o --help` is quick. Exit codes: 0 done;
1 it failed (the message says why and what to do); 2 wrong usage; 3 the platform does not run.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from o_platform.cli import (
    evolution_commands,
    import_commands,
    key_commands,
    memory_commands,
    rollout_commands,
    sandbox_commands,
    tool_commands,
    variant_commands,
)
from o_platform.cli.terminal import say
from o_platform.errors import OError

FAILED = 1
NOT_RUNNING = 3
INTERRUPTED = 130

app = typer.Typer(
    name="o",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="An agent server whose agents improve their own code without risking their users.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the platform does not run. "
    "O_DEBUG=1 shows tracebacks.",
)
app.add_typer(key_commands.app, name="keys")
app.add_typer(import_commands.app, name="import")
app.add_typer(variant_commands.app, name="variant")
app.add_typer(rollout_commands.app, name="rollout")
app.add_typer(tool_commands.app, name="tool")
app.add_typer(sandbox_commands.app, name="sandbox")
app.add_typer(memory_commands.app, name="memory")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(
    epilog="Examples: `o up` · `O_LISTEN=0.0.0.0:8283 O_TLS=auto o up` · `o up --foreground`"
)
def up(
    foreground: Annotated[
        bool,
        typer.Option(
            "--foreground", help="Stay in the foreground (systemd, containers); Ctrl-C stops."
        ),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--i-trust-this-genome",
            help="Without a container engine: run genomes that a model proposed all the same.",
        ),
    ] = False,
) -> None:
    """Start the platform, and return when all is healthy. Says so if it runs already."""
    from o_platform.cli import start
    from o_platform.cli.configuration import load_settings

    if trust:
        os.environ["O_TRUST_MACHINE_GENOMES"] = "true"
    start.up(load_settings(), foreground=foreground)


@app.command(epilog="Examples: `o down` · `o down --timeout 300`")
def down(
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = 120.0,
) -> None:
    """Stop everything in order: Envoy drains, instances finish, PostgreSQL comes last."""
    from o_platform.cli import stop
    from o_platform.cli.configuration import load_settings

    stop.down(load_settings(), timeout_s)


@app.command(epilog="Examples: `o status` · `o status --json | jq .supervisor.children`")
def status(as_json: JsonOption = False) -> None:
    """Show processes, instances, lineages, rollouts and the last deaths."""
    from o_platform.cli import status as report
    from o_platform.cli.configuration import load_settings

    if not report.show(load_settings(), as_json=as_json):
        raise typer.Exit(NOT_RUNNING)


@app.command(epilog="Examples: `o logs` · `o logs bridge -f` · `o logs 3f9c2a --tail 50`")
def logs(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A process (see `o status`), or an instance's id. All processes if absent."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what is written.")
    ] = False,
    tail: Annotated[int, typer.Option(help="How many lines.", min=0)] = 20,
    raw: Annotated[bool, typer.Option("--raw", help="JSON lines as they are.")] = False,
) -> None:
    """Show what a process or an instance printed."""
    from o_platform.cli import logs as log_files
    from o_platform.cli.configuration import load_settings

    log_files.show(load_settings(), name, follow=follow, tail=tail, raw=raw)


@app.command(epilog="Example: `o restart bridge`")
def restart(name: Annotated[str, typer.Argument(help="A process; see `o status`.")]) -> None:
    """Stop one process gracefully and start it again."""
    from o_platform.cli import stop
    from o_platform.cli.configuration import load_settings

    stop.restart(load_settings(), name)


@app.command(epilog="Examples: `o doctor` · `o doctor --json`")
def doctor(as_json: JsonOption = False) -> None:
    """Check this machine: what is missing or weak, and what to do about it."""
    from o_platform.cli import doctor as checks
    from o_platform.cli.configuration import load_settings

    if not checks.show(load_settings(), as_json=as_json):
        raise typer.Exit(FAILED)


app.command(
    name="evolve", epilog="Examples: `o evolve --once` · `o evolve --lineage support --once --wait`"
)(evolution_commands.evolve)


@app.command(epilog="Example: `o version`")
def version() -> None:
    """Print the version."""
    from o_platform import __version__

    say(__version__)


def main() -> None:
    """Run the command line; never shows a traceback unless O_DEBUG is set."""
    try:
        app()
    except OError as error:
        _complain(error, error.message)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has gone; nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # noqa: BLE001 — the process's edge
        _complain(error, f"{type(error).__name__}: {error}; O_DEBUG=1 shows where")


def _complain(error: Exception, message: str) -> None:
    if os.environ.get("O_DEBUG"):
        raise error
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    sys.exit(FAILED)


if __name__ == "__main__":
    main()
