"""Which runtime instances get: containers where an engine answers, else plain processes."""

from __future__ import annotations

import logging

from o_platform.errors import EngineUnavailableError
from o_platform.images.build import ImageBuilder
from o_platform.images.engine import EngineClient
from o_platform.runtimes.docker import DockerRuntime
from o_platform.runtimes.process import ProcessRuntime
from o_platform.runtimes.protocol import Runtime
from o_platform.settings import Settings

log = logging.getLogger(__name__)


async def open_runtime(settings: Settings) -> Runtime:
    """The runtime that the settings ask for.

    Raises:
        EngineUnavailableError: containers were asked for, and no engine answers.
    """
    if settings.runtime == "process":
        return ProcessRuntime(settings)
    engine = EngineClient()
    try:
        await engine.info()
    except EngineUnavailableError as error:
        if settings.runtime == "docker":
            raise
        log.warning("no containers: %s", error.message)
        return ProcessRuntime(settings)
    return DockerRuntime(engine, ImageBuilder(engine, settings), settings)
