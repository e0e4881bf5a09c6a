"""`python -m o_platform.cli.migrations`: brings the database up to date; the supervisor runs it.

Then it sees to it that the encryption keys at hand are the database's, since nothing may start with
others.

At almost every start there is nothing to do, so whether there is gets found out without Alembic,
whose import takes longer than all the rest.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import psycopg

from o_platform import db
from o_platform.db.keys import KeySource, settle_keys
from o_platform.errors import OError

_VERSIONS = Path(db.__file__).parent / "migrations" / "versions"
_LINK = re.compile(r"^(revision|down_revision)\b[^=]*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


def main() -> int:
    """Migrate; the exit code."""
    url = os.environ.get("DATABASE_URL") or os.environ["O_DATABASE_URL"]
    try:
        if not is_current(url):
            from o_platform.db.migrate import upgrade

            upgrade(url)
        settle_keys(url, KeySource.of_environ(os.environ))
    except OError as error:
        # One line: the supervisor shows the last one.
        sys.stderr.write(f"{' '.join(error.message.split())}\n")
        return 1
    return 0


def is_current(url: str) -> bool:
    """Whether the database is there and at the newest revision."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except (psycopg.OperationalError, psycopg.ProgrammingError):
        return False
    return {version for (version,) in found} == newest_revisions()


def newest_revisions() -> set[str]:
    """Revisions that no other one follows."""
    links = [link for file in _VERSIONS.glob("*.py") for link in _LINK.findall(file.read_text())]
    followed = {revision for kind, revision in links if kind == "down_revision"}
    return {revision for kind, revision in links if kind == "revision"} - followed


if __name__ == "__main__":
    sys.exit(main())
