"""Whether the users that Envoy and PostgreSQL run as can reach what they need.

Root's own folders are closed to others, and an installation is often in one of them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from o_platform.errors import SetupError

_PASS = 0o001


def reachable_program(program: Path, cache: Path) -> Path:
    """`program`, or a copy of it in `cache` if other users cannot reach it where it is."""
    if os.geteuid() != 0 or not closed_folders(program):
        return program
    facts = program.stat()
    copy = cache / f"{program.name}-{facts.st_size}-{int(facts.st_mtime)}"
    if not copy.exists():
        cache.mkdir(parents=True, exist_ok=True)
        draft = copy.with_name(f".{copy.name}.{os.getpid()}")
        shutil.copyfile(program, draft)
        draft.chmod(0o755)
        draft.rename(copy)
    return copy


def require_reachable(*folders: Path) -> None:
    """Check, as root, that other users may pass through to each of these folders.

    Raises:
        SetupError: one is closed; says which, and how to open it.
    """
    if os.geteuid() != 0:
        return
    for folder in folders:
        if closed := closed_folders(folder / "file"):
            raise SetupError(
                f"{folder} is below {closed[0]}, which other users may not pass through, but Envoy "
                f"and PostgreSQL run as users of their own; choose another folder (O_HOME, "
                f"O_RUN_DIR), or run `chmod o+x {closed[0]}`"
            )


def closed_folders(path: Path) -> list[Path]:
    """Folders above `path` that other users may not pass through."""
    return [parent for parent in path.absolute().parents if not parent.stat().st_mode & _PASS]
