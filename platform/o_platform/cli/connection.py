"""The control plane of this environment's settings, for commands that talk to it."""

from __future__ import annotations

from o_platform.cli.configuration import load_settings
from o_platform.cli.control_api import ControlApi


def connect() -> ControlApi:
    """The control plane; nothing connects before the first call."""
    return ControlApi(load_settings().run / "control.sock")
