"""The rows that decide where requests go, read as a snapshot.

A lineage's stable instances are its ready ones of its stable variant; while none is ready, those
that were ready before and are wanted still (they restart, and requests wait for them). Canary and
shadow come from the lineage's unfinished rollout. An instance whose socket is not a socket but a
link is left out: it could lead anywhere.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from o_contracts.ids import DEFAULT_LINEAGE_KEY
from o_platform.db.models import ApiKey, Instance, Lineage, Rollout
from o_platform.settings import Settings
from o_platform.traffic.process import envoy_paths
from o_platform.traffic.snapshot import (
    Canary,
    Endpoint,
    LineageRoutes,
    Listener,
    Shadow,
    Snapshot,
)

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


async def fetch_snapshot(session: AsyncSession, settings: Settings, jwks: str) -> Snapshot:
    """What Envoy must know now, as of this transaction.

    Args:
        session: reads lineages, instances, rollouts and keys.
        settings: names the listener, the paths and the limits.
        jwks: public keys of the tokens.
    """
    lineages = (await session.scalars(select(Lineage).order_by(Lineage.key))).all()
    wanted = (await session.scalars(select(Instance).where(Instance.wanted))).all()
    usable = [row for row in wanted if _is_usable(row, settings)]
    rollouts = await session.scalars(select(Rollout).where(Rollout.finished_at.is_(None)))
    active = {rollout.lineage: rollout for rollout in rollouts}
    revoked = await session.scalars(select(ApiKey.id).where(ApiKey.revoked_at.is_not(None)))
    return Snapshot(
        listener=_listener(settings),
        paths=envoy_paths(settings),
        jwks=jwks,
        default_key=DEFAULT_LINEAGE_KEY,
        lineages=tuple(
            _lineage(lineage, usable, active.get(lineage.name), settings) for lineage in lineages
        ),
        benches=tuple(_endpoint(row, settings) for row in _ready(usable) if row.role == "bench"),
        revoked=frozenset(revoked),
        max_body_bytes=settings.max_body_bytes,
    )


def instance_socket(settings: Settings, instance_id: str) -> Path:
    """The socket that an instance answers on."""
    return settings.run / "instances" / instance_id / "in" / "agent.sock"


def _listener(settings: Settings) -> Listener:
    host = settings.listen_host
    return Listener(
        host="127.0.0.1" if host == "localhost" else host,
        port=settings.listen_port,
        tls=settings.tls != "off",
        auth_required=settings.auth == "required" or host not in _LOOPBACK,
    )


def _lineage(
    lineage: Lineage, usable: list[Instance], rollout: Rollout | None, settings: Settings
) -> LineageRoutes:
    stable = [
        row
        for row in usable
        if (row.lineage, row.role, row.variant) == (lineage.name, "stable", lineage.stable_variant)
    ]
    serving = _ready(stable) or [row for row in stable if row.ready_at is not None]
    return LineageRoutes(
        key=lineage.key,
        name=lineage.name,
        stable=tuple(_endpoint(row, settings) for row in serving),
        canary=_canary(usable, rollout, settings),
        shadow=_shadow(usable, rollout, settings),
        observed=rollout is not None,
    )


def _canary(usable: list[Instance], rollout: Rollout | None, settings: Settings) -> Canary | None:
    row = None if rollout is None else _by_id(usable, rollout.canary_instance)
    if rollout is None or row is None:
        return None
    return Canary(_endpoint(row, settings), rollout.weight_permille)


def _shadow(usable: list[Instance], rollout: Rollout | None, settings: Settings) -> Shadow | None:
    row = None if rollout is None else _by_id(usable, rollout.shadow_instance)
    if rollout is None or row is None:
        return None
    return Shadow(_endpoint(row, settings), rollout.mirror_permille)


def _by_id(usable: Iterable[Instance], instance_id: str | None) -> Instance | None:
    found = (row for row in usable if row.id == instance_id and row.ready_at is not None)
    return next(found, None)


def _ready(rows: Iterable[Instance]) -> list[Instance]:
    return sorted((row for row in rows if row.status == "ready"), key=lambda row: row.id)


def _endpoint(row: Instance, settings: Settings) -> Endpoint:
    return Endpoint(row.id, row.variant, str(instance_socket(settings, row.id)))


def _is_usable(row: Instance, settings: Settings) -> bool:
    try:
        mode = instance_socket(settings, row.id).lstat().st_mode
    except OSError:
        return True
    return stat.S_ISSOCK(mode)
