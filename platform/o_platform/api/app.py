"""The application: every route, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from o_platform import __version__
from o_platform.agents.stamped_agents import StampedAgents
from o_platform.api import health, models, tags
from o_platform.api.agent_files import endpoints as agent_files
from o_platform.api.agents import endpoints as agents
from o_platform.api.agents.shown_agents import ShownAgents
from o_platform.api.archives import endpoints as archives
from o_platform.api.blocks import endpoints as blocks
from o_platform.api.conversations import endpoints as conversations
from o_platform.api.edge import Answered, Edge
from o_platform.api.errors import install_error_handlers
from o_platform.api.folders import endpoints as folders
from o_platform.api.groups import endpoints as groups
from o_platform.api.identities import endpoints as identities
from o_platform.api.mcp_servers import endpoints as mcp_servers
from o_platform.api.messages import endpoints as messages
from o_platform.api.messages import everywhere
from o_platform.api.messages import search as message_search
from o_platform.api.openai import chat, responses
from o_platform.api.openapi import TITLE, install_openapi
from o_platform.api.operators import (
    encryption,
    evolution,
    instances,
    keys,
    memory,
    rollouts,
    status,
    takeover,
    variants,
)
from o_platform.api.passages import endpoints as passages
from o_platform.api.prepared_routes import PreparedRoutes
from o_platform.api.route_table import RouteTable
from o_platform.api.runs import endpoints as runs
from o_platform.api.runs import streams, traces
from o_platform.api.schedules import endpoints as schedules
from o_platform.api.surface import add_not_offered
from o_platform.api.tools import endpoints as tools
from o_platform.wiring import Platform

LETTA = (
    health, passages, agent_files, agents, messages, conversations, blocks, archives, runs, streams,
    traces, everywhere, message_search, models, tags, schedules, identities, tools, folders,
    mcp_servers, groups,
)  # fmt: skip
OPENAI = (chat, responses)
OPERATORS = (status, keys, variants, rollouts, encryption, evolution, instances, memory, takeover)


def create_app(platform: Platform) -> ASGIApp:
    """The application on this platform, which runs while the application does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with platform.running():
            yield

    app = FastAPIOffline(
        title=TITLE, version=__version__, lifespan=lifespan, redirect_slashes=False,
        static_url="/docs/assets", telemetry={"tracing": False, "metrics": False, "logs": False},
    )  # fmt: skip
    app.state.platform = platform
    app.state.shown_agents = ShownAgents(
        StampedAgents(platform.database, platform.agents.catalogue)
    )
    for noun in (*LETTA, *OPENAI, *OPERATORS):
        app.router.routes.extend(noun.router.routes)
    add_not_offered(app)
    install_error_handlers(app)
    install_openapi(app, app.routes[:])
    app.add_middleware(Answered)
    table = RouteTable(app.routes)
    app.router.routes[:] = [table]
    limits = platform.settings
    return Edge(
        PreparedRoutes(app, table), platform.demand, max_body_bytes=limits.max_body_bytes,
        max_upload_bytes=limits.max_upload_bytes,
    )  # fmt: skip
