"""`python -m o_platform.cli.sweep`: ends every instance when the platform stops.

The supervisor runs it after the control plane has ended and before the bridge does, so instances
can still commit what they have under way. The next start starts them again.
"""

from __future__ import annotations

import asyncio
import sys

from o_platform.cli.configuration import load_settings
from o_platform.db.engine import Database
from o_platform.errors import OError, SetupError
from o_platform.runtimes.choice import open_runtime
from o_platform.runtimes.fleet import Fleet

_GRACE_S = 5.0


def main() -> int:
    """End all instances of this home; the exit code."""
    try:
        asyncio.run(_sweep())
    except OError as error:
        sys.stderr.write(f"instances go on: {error.message}\n")
        return 1
    return 0


async def _sweep() -> None:
    settings = load_settings()
    if settings.database_url is None:
        raise SetupError("DATABASE_URL is not set")
    database = Database(settings.database_url.get_secret_value())
    runtime = await open_runtime(settings)
    try:
        await Fleet(database, runtime, settings).halt(_GRACE_S)
    finally:
        await runtime.close()
        await database.close()


if __name__ == "__main__":
    sys.exit(main())
