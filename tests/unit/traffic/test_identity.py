"""Signing keys and certificates on disk."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography import x509

from o_platform.errors import SetupError
from o_platform.settings import Settings
from o_platform.traffic.keys import Signer
from o_platform.traffic.tls import (
    CertificateFiles,
    certificate_files,
    secret_file,
    self_signed,
)

pytestmark = pytest.mark.unit
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_signing_key_is_made_once_and_private(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    file = tmp_path / "keys" / "signing.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Signer(tmp_path).jwks == signer.jwks
    assert [entry.name for entry in file.parent.iterdir()] == ["signing.pem"]


def test_a_token_says_who_and_is_checked_by_the_public_key(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    token = signer.sign("key-1", "ada", "operator")
    public = jwt.PyJWKSet.from_dict(json.loads(signer.jwks)).keys[0]
    assert jwt.get_unverified_header(token)["kid"] == public.key_id
    claims = jwt.decode(token, public.key, algorithms=["EdDSA"], issuer="project-o")
    assert (claims["sub"], claims["role"], claims["jti"]) == ("ada", "operator", "key-1")
    assert '"d"' not in signer.jwks


def test_a_spoilt_signing_key_is_named(tmp_path: Path) -> None:
    Signer(tmp_path)
    (tmp_path / "keys" / "signing.pem").write_text("nonsense")
    with pytest.raises(SetupError, match=r"signing\.pem"):
        Signer(tmp_path)


def test_a_certificate_is_kept_until_it_is_about_to_end(tmp_path: Path) -> None:
    files = self_signed(tmp_path, "10.0.0.1", NOW)
    first = files.certificate.read_bytes()
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    self_signed(tmp_path, "10.0.0.1", NOW + timedelta(days=300))
    assert files.certificate.read_bytes() == first
    self_signed(tmp_path, "10.0.0.1", NOW + timedelta(days=380))
    assert files.certificate.read_bytes() != first


def test_a_pair_in_the_middle_of_its_replacement_is_left_alone(tmp_path: Path) -> None:
    files, other = self_signed(tmp_path / "a", "", NOW), self_signed(tmp_path / "b", "", NOW)
    given, key = other.certificate.read_bytes(), files.key.read_bytes()
    files.certificate.write_bytes(given)
    with pytest.raises(SetupError, match="remove both"):
        self_signed(tmp_path / "a", "", NOW)
    assert (files.certificate.read_bytes(), files.key.read_bytes()) == (given, key)
    files.key.write_bytes(other.key.read_bytes())
    assert secret_file(self_signed(tmp_path / "a", "", NOW)) == secret_file(other)


def test_a_certificate_names_this_machine(tmp_path: Path) -> None:
    files = self_signed(tmp_path, "10.0.0.1", NOW)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses >= {"127.0.0.1", "::1", "10.0.0.1"}
    assert "localhost" in names.get_values_for_type(x509.DNSName)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = self_signed(tmp_path / "a", "", NOW), self_signed(tmp_path / "b", "", NOW)
    assert secret_file(one) != secret_file(other)
    with pytest.raises(SetupError, match="O_TLS"):
        secret_file(CertificateFiles(one.certificate, other.key))


def test_what_o_tls_says(tmp_path: Path) -> None:
    def files(tls: str) -> CertificateFiles | None:
        return certificate_files(Settings(home=tmp_path, tls=tls), NOW)

    assert files("off") is None
    assert files("auto") == CertificateFiles(
        tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem"
    )
    assert files("a.pem:b.pem") == CertificateFiles(Path("a.pem"), Path("b.pem"))
    with pytest.raises(SetupError, match="O_TLS"):
        files("yes")
