"""TLS on the public listener: self-made, replaced while it runs."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from o_platform.traffic.process import replace_file
from o_platform.traffic.tls import CertificateFiles, secret_file, self_signed

pytestmark = pytest.mark.integration


async def _connect(edge: Any, context: ssl.SSLContext, name: str) -> tuple[int, str]:
    """Serial number of the certificate that is shown, and the version of TLS."""
    port = edge.settings.listen_port
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    version = tls.version() or ""
    writer.close()
    await writer.wait_closed()
    return shown.serial_number, version


def _place(edge: Any, files: CertificateFiles) -> None:
    target = Path(edge.envoy.paths.resource("sds"))
    replace_file(target, secret_file(files), owner=Path(edge.envoy.paths.folder))


async def test_a_certificate_is_shown_and_replaced_without_a_pause(
    edge: Any, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    files = self_signed(tmp_path, "localhost", now)
    _place(edge, files)
    await edge.serve(listener=replace(edge.snapshot.listener, tls=True))
    context = ssl.create_default_context(cafile=str(files.certificate))
    first, version = await _connect(edge, context, "localhost")
    assert version == "TLSv1.3"
    assert await _connect(edge, context, "127.0.0.1") == (first, version)
    edge.over_tls = True
    async with edge.client() as client:
        assert (await client.post(edge.turn())).json()["backend"] == "stable"

    renewed = self_signed(tmp_path, "localhost", now + timedelta(days=380))
    _place(edge, renewed)
    anyone = ssl.create_default_context()
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(30):
        while (await _connect(edge, anyone, "localhost"))[0] == first:
            pass


async def test_old_versions_of_tls_are_refused(edge: Any, tmp_path: Path) -> None:
    _place(edge, self_signed(tmp_path, "localhost", datetime.now(UTC)))
    await edge.serve(listener=replace(edge.snapshot.listener, tls=True))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        await _connect(edge, old, "localhost")
