"""How the embedded server is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from o_platform.db import embedded
from o_platform.db.embedded import EmbeddedServer, buffers_for

pytestmark = pytest.mark.unit

MB, GB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("data", "memory", "expected"),
    [
        (0, 2 * GB, 128 * MB),
        (700 * MB, 16 * GB, 700 * MB),
        (9 * GB, 16 * GB, 2 * GB),
        (9 * GB, 512 * MB, 128 * MB),
    ],
)
def test_buffers_grow_with_the_data_up_to_a_share_of_memory(
    data: int, memory: int, expected: int
) -> None:
    assert buffers_for(data, memory) == expected


def test_the_data_of_all_databases_counts(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "pg", tmp_path / "s", tmp_path / "cache")
    assert "shared_buffers=128MB" in server.server_command()
    for database, size in (("1", 100 * MB), ("5", 50 * MB)):
        (server.data / "base" / database).mkdir(parents=True)
        with (server.data / "base" / database / "1259").open("wb") as file:
            file.truncate(size)
    assert "shared_buffers=150MB" in server.server_command()
    assert "shared_buffers=32MB" in server.server_command({"shared_buffers": "32MB"})


@pytest.mark.parametrize(("limit", "expected"), [(f"{2 * GB}\n", "256MB"), ("max\n", None)])
def test_a_containers_memory_is_what_counts_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: str | None
) -> None:
    server = EmbeddedServer(tmp_path / "pg", tmp_path / "s", tmp_path / "cache")
    monkeypatch.setattr(embedded, "_LIMITS", ())
    of_machine = server.server_command()
    (tmp_path / "limit").write_text(limit)
    monkeypatch.setattr(embedded, "_LIMITS", (tmp_path / "limit", tmp_path / "none"))
    command = server.server_command()
    if expected is None:
        assert command == of_machine
    else:
        assert f"maintenance_work_mem={expected}" in command
