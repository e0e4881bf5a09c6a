"""Whether clients can reach the listener, and how safely."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from o_platform.cli import terminal
from o_platform.errors import SetupError
from o_platform.runtimes.finding import Finding
from o_platform.settings import Settings
from o_platform.supervisor.client import SupervisorClient, SupervisorDownError

_ENCRYPT: Final = "set O_TLS=auto, or O_TLS=CERT.pem:KEY.pem"


def listener_findings(settings: Settings) -> Iterator[Finding]:
    """What is to say about `O_LISTEN`, `O_TLS` and whoever else has the port."""
    if _runs(settings):
        yield Finding("good", "listener", f"{settings.listen}, served by this platform")
    else:
        yield _port(settings)
    if _is_open(settings):
        yield Finding("weak", "TLS", _in_clear(settings), _ENCRYPT)


def warn_if_open(settings: Settings) -> None:
    """Say so if keys will cross the network in clear."""
    if _is_open(settings):
        terminal.warn(f"{_in_clear(settings)}; {_ENCRYPT}")


def require_certificate(settings: Settings) -> None:
    """Check that what `O_TLS` names can be served; it is read again whenever it changes.

    Raises:
        SetupError: it is no mode and no pair of files, or they do not fit each other.
    """
    if settings.tls == "off":
        return
    from o_platform.traffic.tls import certificate_files, secret_file

    files = certificate_files(settings, datetime.now(UTC))
    if files is not None:
        secret_file(files)


def require_free_port(settings: Settings) -> None:
    """Check that nobody listens where we will.

    Envoy shares its port with whoever lets it (SO_REUSEPORT): two platforms on one port would each
    get half of the connections, and neither would notice.

    Raises:
        SetupError: the port is taken (says by whom), or the address is not this machine's.
    """
    finding = _port(settings)
    if finding.level == "missing":
        raise SetupError(f"{finding.message}; {finding.remedy}")


def _runs(settings: Settings) -> bool:
    try:
        return bool(SupervisorClient(settings.run / "supervisor.sock").status())
    except SupervisorDownError:
        return False


def _port(settings: Settings) -> Finding:
    host, port = settings.listen_host, settings.listen_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return _unusable(settings, error)
    return Finding("good", "listener", f"{settings.listen} is free")


def _unusable(settings: Settings, error: OSError) -> Finding:
    if error.errno != errno.EADDRINUSE:
        message = f"{settings.listen} cannot be used: {error.strerror}"
        return Finding("missing", "listener", message, "set O_LISTEN=HOST:PORT")
    holder = _holder(settings.listen_port)
    message = f"port {settings.listen_port} is in use by {holder}"
    return Finding("missing", "listener", message, "stop it, or set O_LISTEN to another port")


def _holder(port: int) -> str:
    """Who listens on the port, if we may know."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr.port == port:
            return _described(connection.pid)
    return "another process"


def _described(pid: int | None) -> str:
    if pid is None:
        return "another user's process"
    try:
        return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (process {pid})"
    except OSError:
        return f"process {pid}"


def _is_open(settings: Settings) -> bool:
    return settings.tls == "off" and not _is_loopback(settings.listen_host)


def _in_clear(settings: Settings) -> str:
    return f"{settings.listen} is open to the network without TLS: keys can be read"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
