"""The folders of instances below `<run>/instances`, and what may be trusted in them.

An instance listens in `in` and writes there, so that folder is a small tmpfs which *we* mount when
we are root: an instance cannot fill the host's disk, links in it lead nowhere (else one in place of
the socket could send Envoy to another instance, or back to itself), and the mount outlives restarts
of its container. Without root it is a plain folder, which bounds nothing; `o doctor` says so. The
bridge listens in `out`, which the instance sees read-only.

When the platform itself runs in a container that talks to the host's engine, the paths must be the
same inside and outside, and a tmpfs mounted here must be seen by the host: the mount that holds
`<run>` must be *shared* (`bind-propagation=rshared`). If it is not, a plain folder is used.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from o_platform.errors import NotReadyError, SetupError

AGENT_SOCKET: Final = "agent.sock"
BRIDGE_SOCKET: Final = "bridge.sock"
_FOLDER_MODE: Final = 0o711
"""Whoever knows a socket's path may reach it; nobody may list."""
_MOUNTED_IN_CONTAINERS: Final = frozenset({"/etc/hosts", "/etc/hostname"})
"""Engines mount these into every container; nobody mounts them elsewhere."""
_INBOX_FILES: Final = 64
_POINT: Final = 4
_TAGS: Final = 6
"""Fields of a line of mountinfo: the mount point, and the first of its propagation's tags."""


@dataclass(frozen=True, slots=True)
class InstanceFolders:
    """Folders of all instances below `run`."""

    run: Path

    @property
    def root(self) -> Path:
        """The folder that holds one folder for each instance."""
        return self.run / "instances"

    def inbox(self, instance_id: str) -> Path:
        """The folder the instance writes to."""
        return self.root / instance_id / "in"

    def outbox(self, instance_id: str) -> Path:
        """The folder the bridge writes to."""
        return self.root / instance_id / "out"

    def genome(self, instance_id: str) -> Path:
        """The folder of the genome of an instance that has no container."""
        return self.root / instance_id / "genome"

    def agent_socket(self, instance_id: str) -> Path:
        """The socket the instance listens on."""
        return self.inbox(instance_id) / AGENT_SOCKET

    def bridge_socket(self, instance_id: str) -> Path:
        """The socket the bridge listens on for this instance."""
        return self.outbox(instance_id) / BRIDGE_SOCKET

    def prepare(self, instance_id: str, uid: int, size_bytes: int) -> None:
        """Make an instance's folders; `in` is empty afterwards, the rest stays as it is.

        Whatever is left in `in` is an earlier run's, which could have put anything there: a folder
        in place of the socket, or so much that nothing more fits.

        Args:
            instance_id: 12 hex digits.
            uid: user the instance runs as.
            size_bytes: what it may write to `in`.

        Raises:
            SetupError: the folder cannot be mounted though we are root; says why.
        """
        for folder in (self.root, self.root / instance_id, self.outbox(instance_id)):
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            folder.chmod(_FOLDER_MODE)
        inbox = self.inbox(instance_id)
        inbox.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        _empty(inbox)
        if mounts_are_seen(self.run) and not inbox.is_mount():
            _mount(inbox, uid, size_bytes)
        if inbox.stat().st_uid != uid:
            os.chown(inbox, uid, uid)

    def remove(self, instance_id: str) -> None:
        """Unmount and delete an instance's folders, if they are there."""
        _unmount(self.inbox(instance_id))
        shutil.rmtree(self.root / instance_id, ignore_errors=True)

    def known(self) -> list[str]:
        """Ids of the instances that have a folder."""
        return sorted(entry.name for entry in self.root.iterdir()) if self.root.is_dir() else []


def check_socket(path: Path, uid: int) -> None:
    """Check that a socket an instance made is one, and its own: it could have put a link there.

    Raises:
        NotReadyError: there is none, or it is something else.
    """
    try:
        found = os.lstat(path)
    except OSError as error:
        raise NotReadyError(f"{path.name} is not there yet") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise NotReadyError(f"{path.name} is not a socket; the instance must make it itself")
    if found.st_uid != uid:
        raise NotReadyError(f"{path.name} belongs to user {found.st_uid}, not {uid}")


def mounts_are_seen(run: Path) -> bool:
    """Whether we may mount, and the container engine would see what we mount below `run`."""
    if os.geteuid() != 0:
        return False
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    holders = [mount for mount in mounts if run.is_relative_to(mount[_POINT])]
    holder = max(holders, key=lambda mount: len(mount[_POINT]))
    tags = " ".join(holder[_TAGS : holder.index("-")])
    in_container = any(mount[_POINT] in _MOUNTED_IN_CONTAINERS for mount in mounts)
    return "shared:" in tags or not ("master:" in tags or in_container)


def _empty(inbox: Path) -> None:
    if not any(inbox.iterdir()):
        return
    _unmount(inbox)
    for left in inbox.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _unmount(folder: Path) -> None:
    while folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S603, S607


def _mount(folder: Path, uid: int, size_bytes: int) -> None:
    bounds = f"size={size_bytes},nr_inodes={_INBOX_FILES},uid={uid},gid={uid},mode=0711"
    options = f"{bounds},nosuid,nodev,noexec"
    problem = _try_mount(folder, f"{options},nosymfollow")
    if problem:  # `mount` knows that option since util-linux 2.38
        problem = _try_mount(folder, options)
    if problem:
        raise SetupError(
            f"no tmpfs can be mounted at {folder}: {problem}; "
            "run as root with the right to mount, or as an ordinary user"
        )


def _try_mount(folder: Path, options: str) -> str:
    """Why it could not be mounted; empty when it is."""
    result = subprocess.run(  # noqa: S603
        ["mount", "-t", "tmpfs", "-o", options, "project-o", str(folder)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if result.returncode == 0 else result.stderr.strip() or "no reason given"
