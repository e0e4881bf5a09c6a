"""The local processes of the platform, as the supervisor is told of them.

Environments are named by pattern, so the specification holds no secret: provider keys reach only
the LLM gateway, DATABASE_URL only those who use it, and nothing reaches Envoy and PostgreSQL.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from o_platform.cli.reach import reachable_program
from o_platform.db.embedded import EmbeddedServer
from o_platform.errors import SetupError
from o_platform.settings import Settings
from o_platform.supervisor.spec import ChildKind, ChildSpec, Probe, ProbeKind, SupervisorSpec
from o_platform.traffic.process import envoy_command, envoy_paths

ENVOY_USER: Final = "project-o-envoy"
"""System user that Envoy runs as when root starts the platform."""
_PLAIN: Final = ("PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR")
_OURS: Final = (*_PLAIN, "O_*", "!O_DATABASE_URL")
_WITH_DATABASE: Final = (*_OURS, "DATABASE_URL", "O_DATABASE_URL")
_ENGINE: Final = ("DOCKER_*",)
_ZYGOTE: Final = "zygote"
_POSTGRES_GRACE_S: Final = 60.0
_ALLOCATOR: Final = {
    "MALLOC_ARENA_MAX": "2",
    # Else both grow with the largest block that was ever freed, and a thread that has once packed
    # an image's files, say, keeps some 30 MB for the next time.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(2 << 20),
}
_UNPRIVILEGED_PORT: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def embedded_server(settings: Settings) -> EmbeddedServer | None:
    """The PostgreSQL that we run ourselves; None: DATABASE_URL names another one."""
    if settings.database_url is not None:
        return None
    return EmbeddedServer(settings.home / "pg", settings.run / "pg", settings.home / "cache")


def supervisor_spec(
    settings: Settings, server: EmbeddedServer | None, runtime: str, envoy: tuple[int, int] | None
) -> SupervisorSpec:
    """All children, in start order.

    Args:
        settings: of this platform.
        server: the embedded PostgreSQL, prepared; None: an external one.
        runtime: `docker` or `process`, as found out at the start.
        envoy: user and group id Envoy runs as; None: ours.
    """
    ours = {
        "O_HOME": str(settings.home.absolute()),
        "O_RUN_DIR": str(settings.run),
        "O_RUNTIME": runtime,
    }
    database = ours if server is None else ours | {"DATABASE_URL": server.url}
    children = [
        _zygote(settings),
        _envoy(settings, envoy),
        *([] if server is None else [_postgres(server)]),
        _migrations(database),
        _bridge(settings, database),
        _control(settings, database),
        _llm(settings, ours),
    ]
    return SupervisorSpec(
        children=tuple(children),
        run_dir=str(settings.run),
        log_dir=str(settings.home.absolute() / "log"),
        stop_order=("envoy",),
    )


def envoy_user(settings: Settings) -> tuple[int, int] | None:
    """User and group id for Envoy: root makes it a system user; anybody else runs it themselves.

    Raises:
        SetupError: that user could not listen on the wanted port, or cannot be made.
    """
    if os.geteuid() != 0:
        return None
    first = int(_UNPRIVILEGED_PORT.read_text())
    if settings.listen_port < first:
        raise SetupError(
            f"Envoy runs without privileges and may not listen on port {settings.listen_port}; "
            f"run `sysctl net.ipv4.ip_unprivileged_port_start={settings.listen_port}`, or choose "
            f"O_LISTEN with a port from {first} on"
        )
    entry = _system_user(ENVOY_USER)
    return entry.pw_uid, entry.pw_gid


def _system_user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        raise SetupError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
    return pwd.getpwnam(name)


def _postgres(server: EmbeddedServer) -> ChildSpec:
    uid, gid = server.user()
    return ChildSpec(
        "postgres",
        tuple(server.server_command()),
        probe=Probe(ProbeKind.POSTGRES, str(server.socket_dir / ".s.PGSQL.5432")),
        ready_timeout_s=120.0,
        env=_PLAIN,
        uid=uid,
        gid=gid,
        stop_signal="SIGINT",
        grace_s=_POSTGRES_GRACE_S,
        oom_score_adj=-800,
    )


def _zygote(settings: Settings) -> ChildSpec:
    ready = str(settings.run / "zygote.ready")
    return ChildSpec(
        _ZYGOTE,
        (*_python("o_platform.cli.zygote"), ready),
        probe=Probe(ProbeKind.FILE, ready),
        ready_timeout_s=60.0,
        gates=False,
        listen=str(settings.run / "zygote.sock"),
        env=_PLAIN,
        # Read by the allocator when a program starts, so it has to be said here for all children.
        env_set=_ALLOCATOR,
        oom_score_adj=-600,
    )


def _migrations(env_set: Mapping[str, str]) -> ChildSpec:
    return ChildSpec(
        "migrations",
        _python("o_platform.cli.migrations"),
        kind=ChildKind.ONESHOT,
        ready_timeout_s=600.0,
        zygote=_ZYGOTE,
        env=_WITH_DATABASE,
        env_set=dict(env_set),
    )


def _envoy(settings: Settings, user: tuple[int, int] | None) -> ChildSpec:
    paths = envoy_paths(settings)
    program, *arguments = envoy_command(settings)
    return ChildSpec(
        "envoy",
        (str(reachable_program(Path(program), settings.home / "cache")), *arguments),
        probe=Probe(ProbeKind.HTTP, paths.admin_socket, "/ready"),
        gates=False,
        env=_PLAIN,
        uid=user[0] if user else None,
        gid=user[1] if user else None,
        stop_command=(*_python("o_platform.cli.drain"), paths.admin_socket),
        oom_score_adj=-600,
    )


def _bridge(settings: Settings, env_set: Mapping[str, str]) -> ChildSpec:
    return ChildSpec(
        "bridge",
        _python("o_platform.bridge"),
        probe=Probe(ProbeKind.CONNECT, str(settings.run / "bridge.sock")),
        gates=False,
        env=(*_WITH_DATABASE, *_ENGINE),
        env_set=dict(env_set),
        stop_command=_python("o_platform.cli.sweep"),
        stop_command_s=30.0,
        zygote=_ZYGOTE,
        oom_score_adj=-500,
    )


def _control(settings: Settings, env_set: Mapping[str, str]) -> ChildSpec:
    control = str(settings.run / "control.sock")
    return ChildSpec(
        "control",
        _python("o_platform.api"),
        probe=Probe(ProbeKind.HTTP, control, "/docs"),
        ready_timeout_s=60.0,
        listen=control,
        zygote=_ZYGOTE,
        env=(*_WITH_DATABASE, *_ENGINE),
        env_set=dict(env_set),
        oom_score_adj=-300,
    )


def _llm(settings: Settings, env_set: Mapping[str, str]) -> ChildSpec:
    return ChildSpec(
        "llm",
        _python("o_platform.llm"),
        kind=ChildKind.ON_DEMAND,
        listen=str(settings.run / "llm.sock"),
        env=("*", "!DATABASE_URL", "!O_DATABASE_URL", "!O_ENCRYPTION_KEY*"),
        env_set=dict(env_set),
        oom_score_adj=200,
    )


def _python(module: str) -> tuple[str, ...]:
    return sys.executable, "-m", module
