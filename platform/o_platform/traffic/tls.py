"""The certificate of the public listener: made by ourselves, or given as files.

Envoy gets it as a secret file that holds certificate and key, so it needs no access to the
operator's files; when those change, a new secret file is moved into place and Envoy takes it within
milliseconds, without closing a connection.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from o_platform.errors import SetupError
from o_platform.settings import Settings
from o_platform.traffic.listeners import CERTIFICATE_NAME
from o_platform.traffic.xds import resource_file, typed

VALID_DAYS: Final = 398
RENEW_DAYS: Final = 30
"""A self-made certificate is replaced when it has less than this left."""
_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "project-o")])


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its private key, both PEM."""

    certificate: Path
    key: Path


def certificate_files(settings: Settings, now: datetime) -> CertificateFiles | None:
    """The files that `O_TLS` names, made first if it says `auto`; None: TLS is off.

    Raises:
        SetupError: `O_TLS` names no pair of files.
    """
    if settings.tls == "off":
        return None
    if settings.tls == "auto":
        return self_signed(settings.home / "tls", settings.listen_host, now)
    certificate, separator, key = settings.tls.partition(":")
    if not (certificate and separator and key):
        raise SetupError(
            f"O_TLS is {settings.tls!r}; use off, auto, or CERT.pem:KEY.pem with both paths"
        )
    return CertificateFiles(Path(certificate), Path(key))


def self_signed(folder: Path, host: str, now: datetime) -> CertificateFiles:
    """The self-made certificate in `folder`, made anew if it is absent or about to end.

    It is for `localhost`, the loopback addresses, this machine's name, and `host`. One that
    somebody put in its place is theirs to renew.

    Raises:
        SetupError: a file there is no PEM, or the key is not the certificate's.
    """
    files = CertificateFiles(folder / "cert.pem", folder / "key.pem")
    absent = not (files.certificate.exists() and files.key.exists())
    if absent or _is_due(files, now):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(files, host, now)
    return files


def secret_file(files: CertificateFiles) -> str:
    """The text of Envoy's secret file.

    Raises:
        SetupError: a file is missing or no PEM, or the key is not the certificate's.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)
        certificate = files.certificate.read_text()
        key = files.key.read_text()
    except (OSError, ValueError) as error:
        raise SetupError(
            f"O_TLS: {files.certificate} and {files.key} are not a certificate and its key: {error}"
        ) from error
    secret = typed(
        "envoy.extensions.transport_sockets.tls.v3.Secret",
        name=CERTIFICATE_NAME,
        tls_certificate={
            "certificate_chain": {"inline_string": certificate},
            "private_key": {"inline_string": key},
        },
    )
    return resource_file([secret])


def _is_due(files: CertificateFiles, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)
    except (OSError, ValueError) as error:
        raise SetupError(
            f"O_TLS=auto: {files.certificate} and {files.key} are not a certificate and its key "
            f"({error}); put a pair there, or remove both and a new pair is made"
        ) from error
    ends_in = certificate.not_valid_after_utc - now
    return certificate.issuer == _NAME and ends_in <= timedelta(days=RENEW_DAYS)


def _make(files: CertificateFiles, host: str, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, host, now)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write_private(files.key, key_pem)
    _write_private(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _certificate(key: ec.EllipticCurvePrivateKey, host: str, now: datetime) -> x509.Certificate:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(hours=1))
        .not_valid_after(now.astimezone(UTC) + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=False)
        .sign(key, hashes.SHA256())
    )


def _names(host: str) -> list[x509.GeneralName]:
    found = ["localhost", "127.0.0.1", "::1", socket.gethostname(), host]
    return [_name(value) for value in dict.fromkeys(found) if value]


def _name(value: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(value))
    except ValueError:
        return x509.DNSName(value)


def _write_private(file: Path, content: bytes) -> None:
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    draft.rename(file)
