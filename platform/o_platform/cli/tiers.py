"""Which tiers of the sandbox run on this machine, and what confines the tools in them.

The layers are tried: a process enters a jail with all of them, as the tiers' own processes do.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from o_platform.runtimes.finding import Finding
from o_sandbox.artifacts import ArtifactName, artifact
from o_sandbox.cache import CompiledCache, UnsafeCacheError, default_folder
from o_sandbox.compiled import cache_key
from o_sandbox.container.sandbox import REQUIRED as CONTAINER_REQUIRED
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.jail import Layer, LayerName, kernel_layers, missing
from o_sandbox.jail.entry import REQUIRED as RESTRICTED_REQUIRED
from o_sandbox.protocol import SandboxUnavailableError
from o_sandbox.tool import Tier

_REMEDIES: Final[Mapping[LayerName, str]] = {
    "landlock": "use a kernel from 5.13 on, with `landlock` in the boot parameter `lsm=`",
    "seccomp": "use a kernel with CONFIG_SECCOMP_FILTER, and a container that may call `seccomp`",
    "namespaces": "run as root, or allow user namespaces (kernel.unprivileged_userns_clone=1, "
    "user.max_user_namespaces above 0)",
    "capabilities": "use a kernel with capabilities",
    "rlimits": "raise what `ulimit -H` shows",
}
_ENGINE_REQUIRED: Final = EngineSettings(cache="").required
_REQUIRED: Final[Mapping[Tier, frozenset[LayerName]]] = {
    "restricted": RESTRICTED_REQUIRED,
    "wasm": _ENGINE_REQUIRED,
    "module": _ENGINE_REQUIRED,
    "container": CONTAINER_REQUIRED,
}
_NEEDED: Final[Mapping[Tier, ArtifactName]] = {"wasm": "python", "module": "quickjs"}


def tier_findings(layers: Collection[Layer] | None = None) -> Iterator[Finding]:
    """Every tier, then every layer that does not hold. `layers` are tried here if None."""
    if layers is None:
        try:
            layers = kernel_layers()
        except RuntimeError as error:
            yield Finding("weak", "sandbox", str(error), "see `O_DEBUG=1 o doctor`")
            return
    lacking = {layer.name: layer.detail for layer in missing(layers)}
    for tier, required in _REQUIRED.items():
        yield _tier(tier, required & set(lacking), lacking)
    for name, detail in lacking.items():
        message = f"tools are confined without it: {detail}"
        yield Finding("note", f"layer {name}", message, _REMEDIES[name])


def _tier(tier: Tier, refused: Collection[LayerName], lacking: Mapping[LayerName, str]) -> Finding:
    subject = f"tier {tier}"
    if refused:
        name = sorted(refused)[0]
        return Finding("weak", subject, f"does not start without {name}", _REMEDIES[name])
    confined = "all layers hold" if not lacking else f"without {', '.join(sorted(lacking))}"
    if tier not in _NEEDED:
        return Finding("good", subject, confined)
    return _with_code(subject, confined, _NEEDED[tier])


def _with_code(subject: str, confined: str, name: ArtifactName) -> Finding:
    """An engine's tier: the code it runs is carried by the package, and compiled once."""
    folder = default_folder()
    try:
        found = CompiledCache(folder).find(cache_key(artifact(name)))
    except SandboxUnavailableError as error:
        return Finding("weak", subject, f"this installation carries no {name}.wasm", str(error))
    except UnsafeCacheError as error:
        return Finding("weak", subject, "its compiled code is not safe", str(error))
    if found is None:
        took = "some 15 s" if name == "python" else "some seconds"
        return Finding("good", subject, f"{confined}; compiled at first use, {took}")
    os.close(found)
    return Finding("good", subject, f"{confined}; compiled in {_short(folder)}")


def _short(folder: Path) -> str:
    home = str(Path.home())
    return str(folder).replace(home, "~", 1) if str(folder).startswith(home) else str(folder)
