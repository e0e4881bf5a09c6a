"""Makes what the sandbox carries when a wheel is built, or a checkout installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_BUILD = "sandbox/o_sandbox/guest/build.py"


class SandboxArtifacts(BuildHookInterface[Any]):
    """Runs `o_sandbox/guest/build.py`, which stands alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the files are packed."""
        path = Path(self.root) / _BUILD
        spec = importlib.util.spec_from_file_location("guest_build", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot load {path}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.ensure()
