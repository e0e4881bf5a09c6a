"""Whether the platform serves: the stable instance is there, the listener answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from o_platform.cli.control_api import ControlApi
from o_platform.cli.summary import base_url
from o_platform.errors import NotReadyError, OError
from o_platform.settings import Settings

_HEALTHY_S: Final = 180.0
_LISTENER_S: Final = 30.0
_POLL_S: Final = 0.15
"""Each look takes time from the very process that is waited for."""


def await_health(api: ControlApi) -> None:
    """Wait until the control plane says that all is healthy, stable instances included.

    Raises:
        NotReadyError: it does not become so; says what is missing.
    """

    def problem() -> str | None:
        try:
            status = api.get("/o/v1/status")
        except OError as error:
            return error.message
        return None if status["healthy"] else _missing(status)

    _wait(problem, _HEALTHY_S, "the platform is not healthy")


def await_listener(settings: Settings, token: str) -> None:
    """Wait until a client gets an answer through Envoy.

    Raises:
        NotReadyError: none does; says what they get instead.
    """
    # Only whether it answers: its certificate may be self-signed.
    with httpx.Client(verify=False, timeout=5.0) as client:  # noqa: S501
        headers = {"authorization": f"Bearer {token}"}

        def problem() -> str | None:
            try:
                response = client.get(f"{base_url(settings)}/v1/health/", headers=headers)
            except httpx.HTTPError as error:
                return str(error) or type(error).__name__
            return None if response.is_success else f"HTTP {response.status_code}"

        _wait(problem, _LISTENER_S, f"{base_url(settings)} does not answer")


def _missing(status: dict[str, Any]) -> str:
    failures = [
        f"{name}: {task['message']}"
        for name, task in status["background"].items()
        if task["condition"] == "failed"
    ]
    return "; ".join(failures) or f"waiting for {', '.join(status['coming'])}"


def _wait(problem: Callable[[], str | None], timeout_s: float, otherwise: str) -> None:
    deadline = time.monotonic() + timeout_s
    while (found := problem()) is not None:
        if time.monotonic() > deadline:
            raise NotReadyError(f"{otherwise} after {timeout_s:.0f} s: {found}; see `o doctor`")
        time.sleep(_POLL_S)
