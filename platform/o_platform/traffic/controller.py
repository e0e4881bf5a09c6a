"""Keeps Envoy's configuration equal to what the database says.

`apply` reads, renders and delivers, one at a time; calls that arrive meanwhile share the next
turn, so a burst of changes costs two deliveries. `run` applies whenever PostgreSQL announces a
change of routes or instances, removes what Envoy needs no more, and puts a changed certificate in
place.

One that is stopped and its successor may apply side by side for a moment. A file lock around
reading and delivering keeps the one that read earlier from overwriting what is newer.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from o_platform.clock import Clock, SystemClock
from o_platform.db.engine import CHANNEL_INSTANCES, CHANNEL_ROUTES, Database
from o_platform.db.hearing import Hearing
from o_platform.errors import OError, SetupError
from o_platform.settings import Settings
from o_platform.traffic.admin import EnvoyAdmin
from o_platform.traffic.delivery import Delivery
from o_platform.traffic.keys import Signer
from o_platform.traffic.process import envoy_paths, replace_file
from o_platform.traffic.render import EnvoyConfig, render
from o_platform.traffic.repository import fetch_snapshot
from o_platform.traffic.tls import certificate_files, secret_file

LOOK_S: Final = 1.0
"""How often certificates are looked at, and failures tried again, in seconds."""
LOCK_LOOK_S: Final = 0.002
"""Between two tries to get the lock that another process holds, in seconds."""
_LOGGER = logging.getLogger(__name__)


class TrafficController:
    """Applies the routes that the database holds."""

    def __init__(
        self, database: Database, settings: Settings, *, clock: Clock | None = None
    ) -> None:
        """Loads (or makes) the signing key; nothing is delivered yet."""
        self._database = database
        self._settings = settings
        self._clock = clock or SystemClock()
        self._paths = envoy_paths(settings)
        self.signer = Signer(settings.home)
        self.admin = EnvoyAdmin(self._paths.admin_socket)
        self._delivery = Delivery(self._paths, self.admin)
        self._turn = asyncio.Lock()
        self._started = 0
        self._done = 0
        self._config: EnvoyConfig | None = None
        self._secret = ""
        self._spoilt = ""
        """What is wrong with a changed certificate, as it was last logged."""

    async def apply(self) -> str:
        """Bring Envoy to what the database says, committed before this call, and confirm it.

        Returns:
            The version in force.

        Raises:
            TrafficError: Envoy refused it, or does not answer.
            DatabaseUnavailableError: the rows cannot be read.
            SetupError: the certificate cannot be used.
        """
        started_before = self._started
        async with self._turn:
            # One that started after this call came in has read what this call is about.
            if self._done > started_before and self._config is not None:
                return self._config.version
            self._started += 1
            turn = self._started
            async with self._alone():
                self._config = await self._deliver()
            self._done = turn
            return self._config.version

    async def run(self, hearing: Hearing) -> None:
        """Apply at once, then at every announcement, until cancelled."""
        with hearing.subscribed(CHANNEL_ROUTES, CHANNEL_INSTANCES) as news:
            due = True
            while True:
                due = due and not await self._succeeds()
                due = bool(await news.wait(LOOK_S)) or due
                due = due or self._certificate_changed()

    async def _succeeds(self) -> bool:
        try:
            await self.apply()
            await self._tidy()
        except OError as error:
            _LOGGER.error("the routes were not applied (%s): %s", error.code, error.message)
            return False
        except OSError as error:
            _LOGGER.error("the routes were not applied: %s", error)
            return False
        return True

    async def _tidy(self) -> None:
        """Let Envoy forget old clusters, unless another process has delivered since."""
        async with self._turn, self._alone():
            if self._config is not None and self._delivery.is_in_place(self._config):
                await self._delivery.tidy(self._config)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Keep other processes from delivering; the kernel frees the lock of one that dies."""
        with (self._settings.run / "routes.lock").open("w") as file:
            await _lock(file.fileno())
            yield

    async def _deliver(self) -> EnvoyConfig:
        async with self._database.unit_of_work() as session:
            snapshot = await fetch_snapshot(session, self._settings, self.signer.jwks)
        self._place_certificate()
        config = render(snapshot)
        await self._delivery.deliver(config)
        return config

    def _place_certificate(self) -> None:
        """Give Envoy the certificate; one that went bad must not block a change of routes."""
        try:
            secret = self._wanted_secret()
        except SetupError as error:
            if not self._secret:
                raise
            self._keep_certificate(error)
            return
        if secret and secret != self._secret:
            file = Path(self._paths.resource("sds"))
            replace_file(file, secret, owner=Path(self._paths.folder))
        self._secret = secret

    def _certificate_changed(self) -> bool:
        try:
            return self._wanted_secret() != self._secret
        except SetupError as error:
            self._keep_certificate(error)
            return False

    def _keep_certificate(self, error: SetupError) -> None:
        """Say once what is wrong with the new one: it is looked at every second."""
        if error.message != self._spoilt:
            _LOGGER.warning("the certificate in use stays: %s", error.message)
            self._spoilt = error.message

    def _wanted_secret(self) -> str:
        files = certificate_files(self._settings, self._clock.now())
        secret = "" if files is None else secret_file(files)
        self._spoilt = ""
        return secret


async def _lock(file_number: int) -> None:
    while True:
        try:
            fcntl.flock(file_number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(LOCK_LOOK_S)
        else:
            return
