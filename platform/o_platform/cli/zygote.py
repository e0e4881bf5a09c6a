"""`python -m o_platform.cli.zygote READY`: what the platform's own processes are forked from.

It imports what any of them needs, once, and makes the file `READY` when it can fork; see
`o_platform.supervisor.zygote`.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

MODULES: Final = (
    "o_platform.bridge.__main__",
    "o_platform.api.process",
    "o_platform.wiring.ground",
    "o_platform.wiring.delivery",
    "o_platform.wiring.steering",
    "o_platform.cli.migrations",
    # Those that libraries import when they are first used.
    "anyio._backends._asyncio",
    "dbos._sys_db_postgres",
    "httpcore",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)


def main() -> None:
    """Import everything, then fork whatever the supervisor asks for."""
    # Imports make no garbage, but the collector would look for it again and again meanwhile.
    gc.disable()
    from o_platform.supervisor.zygote import serve
    from o_platform.telemetry import configure_logging

    configure_logging("zygote")
    _prepare()
    Path(sys.argv[1]).touch()
    serve()


def _prepare() -> None:
    from sqlalchemy.orm import configure_mappers

    for module in MODULES:
        import_module(module)
    configure_mappers()
    _rehearse()


def _rehearse() -> None:
    """Do once what children do first: libraries fill caches over it, which are then shared."""
    from o_platform.api.app import create_app
    from o_platform.db.engine import Database
    from o_platform.db.sealing import KEY_BYTES, Key, Vault
    from o_platform.llm.builtin import BuiltinModels
    from o_platform.settings import Settings
    from o_platform.wiring import Platform

    settings = Settings()
    BuiltinModels()
    vault = Vault([Key(bytes(KEY_BYTES))])
    create_app(Platform(settings, Database("postgresql://nobody@localhost/nothing", vault)))


if __name__ == "__main__":
    main()
