"""`python -m o_platform.cli.sweep`: ends every instance when the platform stops.

The supervisor runs it after the control plane has ended and before the bridge does, so instances
can still commit what they have under way. The next start starts them again.
"""

from __future__ import annotations

import asyncio
import sys

from o_platform.cli.configuration import load_settings
from o_platform.errors import OError
from o_platform.runtimes.choice import open_runtime
from o_platform.runtimes.folders import InstanceFolders
from o_platform.runtimes.launcher import Launcher
from o_platform.settings import Settings

_GRACE_S = 5.0


def main() -> int:
    """End all instances of this home; the exit code."""
    try:
        asyncio.run(end_instances(load_settings()))
    except OError as error:
        sys.stderr.write(f"instances go on: {error.message}\n")
        return 1
    return 0


async def end_instances(settings: Settings) -> int:
    """End all instances of this home and remove their socket folders; how many there were.

    Raises:
        EngineUnavailableError: no engine answers.
    """
    runtime = await open_runtime(settings)
    launcher = Launcher(runtime, settings)
    try:
        placements = await runtime.owned()
        async with asyncio.TaskGroup() as tasks:
            for placement in placements:
                tasks.create_task(launcher.end(placement, _GRACE_S))
    finally:
        await runtime.close()
    folders = InstanceFolders(settings.run)
    for instance_id in folders.known():
        folders.remove(instance_id)
    return len(placements)


if __name__ == "__main__":
    sys.exit(main())
