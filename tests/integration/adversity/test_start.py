"""What keeps the platform from starting is said with the remedy, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from o_platform.db.embedded import EmbeddedServer
from o_platform.db.migrate import upgrade
from o_platform.errors import DatabaseUnavailableError, SetupError
from o_platform.images.base import BaseImages
from o_platform.images.engine import EngineClient, ImageInfo
from o_platform.settings import Settings
from o_platform.testing import require
from o_platform.testing.disk import filled, small_disk

pytestmark = pytest.mark.integration

FREE = "127.0.0.1:0"


def up(home: Path, **changes: str) -> str:
    """What `o up` complains of."""
    ours = {"O_HOME": f"{home}/h", "O_RUN_DIR": f"{home}/r", "O_LISTEN": FREE} | changes
    environ = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"} | ours
    command = [sys.executable, "-m", "o_platform.cli.main", "up"]
    ended = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1, ended.stdout
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_folders_and_addresses_that_cannot_be(short_tmp: Path) -> None:
    (short_tmp / "file").touch()
    complaint = up(short_tmp, O_HOME=f"{short_tmp}/file/h")
    assert f"{short_tmp}/file/h cannot be written to (Not a directory)" in complaint
    assert "O_HOME" in complaint
    assert "O_RUN_DIR" in up(short_tmp, O_RUN_DIR="/proc/r")
    complaint = up(short_tmp, O_RUN_DIR=f"{short_tmp}/{'r' * 100}")
    assert "bytes too long" in complaint
    assert not (short_tmp / "h/pg").exists()
    complaint = up(short_tmp, DATABASE_URL="mysql://root:secret@db/o")
    assert "DATABASE_URL: Value error, give a URL that starts with postgresql://" in complaint
    assert "secret" not in complaint


def test_a_port_in_use_is_named_with_its_holder(short_tmp: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        complaint = up(short_tmp, O_LISTEN=f"127.0.0.1:{port}", O_RUNTIME="process")
    assert f"port {port} is in use by" in complaint
    assert f"(process {os.getpid()})" in complaint
    assert "O_LISTEN" in complaint
    assert not (short_tmp / "r/supervisor.sock").exists()


def test_a_database_that_does_not_answer_or_lacks_something(postgres: EmbeddedServer) -> None:
    with pytest.raises(DatabaseUnavailableError, match="check DATABASE_URL"):
        upgrade("postgresql://nobody@127.0.0.1:1/o")
    with pytest.raises(SetupError, match="DATABASE_URL cannot be used"):
        upgrade("postgresql://localhost/o?no_such_parameter=1")

    name, role = f"lacking_{os.getpid()}", f"guest_{os.getpid()}"
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        admin.execute(f"CREATE ROLE {role} LOGIN")
        url = postgres.url_of(name)
        hidden = quote("-c extension_control_path=/nowhere")
        try:
            with pytest.raises(SetupError, match="lacks the extension pgvector"):
                upgrade(f"{url}&options={hidden}")
            with pytest.raises(SetupError, match="the role may not set up the database"):
                upgrade(url.replace("//postgres@", f"//{role}@"))
            with psycopg.connect(url) as connection:
                tables = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
                assert tables.fetchall() == []
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.execute(f"DROP ROLE {role}")


class EmptyEngine(EngineClient):
    """An engine without images."""

    async def image(self, reference: str) -> ImageInfo | None:
        return None


async def test_a_full_disk_leaves_neither_half_a_database_nor_half_an_image() -> None:
    require("mount")
    require("docker")
    with small_disk(8 << 20) as disk:
        server = EmbeddedServer(disk / "pg", disk / "s", disk / "cache")
        with pytest.raises(SetupError, match="No space left on device"):
            server.prepare()
        assert not server.data.exists()
        engine = EmptyEngine()
        with pytest.raises(SetupError, match=r"could not be made in .*cache \(No space left"):
            await BaseImages(engine, Settings(home=disk)).ensure()
        await engine.close()
        assert list((disk / "cache").iterdir()) == []
        with filled(disk):
            complaint = up(disk)
        assert f"{disk}/h cannot be written to (No space left on device)" in complaint
