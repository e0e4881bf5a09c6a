"""`python -m o_platform.cli.migrations`: brings the database up to date; the supervisor runs it."""

from __future__ import annotations

import sys

from o_platform.cli.configuration import load_settings
from o_platform.db.migrate import upgrade
from o_platform.errors import OError, SetupError


def main() -> int:
    """Migrate; the exit code."""
    try:
        url = load_settings().database_url
        if url is None:
            raise SetupError("DATABASE_URL is not set")
        upgrade(url.get_secret_value())
    except OError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
