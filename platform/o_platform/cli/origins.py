"""What the running platform was started with, to tell whoever starts it again with something else.

A second `o up` changes nothing of a running platform, and a setting that has no effect, or a
provider key that never arrives, is hard to see from outside. Values are kept as hashes only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from o_platform.cli import terminal
from o_platform.errors import SetupError
from o_platform.llm.providers import PROVIDERS
from o_platform.settings import Settings

_FILE: Final = "started-with.json"
_ADDRESS: Final = frozenset({"O_LISTEN", "O_TLS"})
"""Without these the platform cannot even be found."""


def keep_origins(settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Write down what the platform is started with (mode 0600, under `<run>`)."""
    file = settings.run / _FILE
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(dict(_hashes(settings, environ)), stream)


def compare_origins(settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Warn of settings and provider keys that the running platform does not have.

    Raises:
        SetupError: it listens elsewhere, so that there is nothing to show.
    """
    changed = _changed(settings.run / _FILE, dict(_hashes(settings, environ)))
    if not changed:
        return
    message = f"the platform runs with another value of {', '.join(changed)}"
    remedy = "`o down` first to start it with the present one"
    if _ADDRESS.intersection(changed):
        raise SetupError(f"{message}; {remedy}")
    terminal.warn(f"{message}; {remedy}")


def _changed(file: Path, present: dict[str, str]) -> list[str]:
    try:
        kept: dict[str, str] = json.loads(file.read_text())
    except (OSError, ValueError):
        return []
    return sorted(name for name in present if kept.get(name, "") != present[name])


def _hashes(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in Settings.model_fields:
        variable = "DATABASE_URL" if name == "database_url" else f"O_{name.upper()}"
        yield variable, _hash(getattr(settings, name))
    for provider in PROVIDERS.values():
        if provider.key_variable and provider.key_variable in environ:
            yield provider.key_variable, _hash(environ[provider.key_variable])


def _hash(value: object) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else repr(value)
    return blake2b(text.encode(), digest_size=16).hexdigest()
