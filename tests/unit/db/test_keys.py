"""Where encryption keys come from, and what is said when they do not come."""

from __future__ import annotations

import secrets
from base64 import b64encode
from pathlib import Path

import pytest

from o_platform.db.keys import KeySource, add_key, key_file, open_vault, read_keys
from o_platform.db.sealing import Key
from o_platform.errors import SetupError
from o_platform.settings import Settings

pytestmark = pytest.mark.unit


def base64_key() -> str:
    return b64encode(secrets.token_bytes(32)).decode()


def test_the_file_is_private_and_keeps_former_keys(tmp_path: Path) -> None:
    source = KeySource(key_file(tmp_path))
    assert read_keys(source) == ()
    with pytest.raises(SetupError, match=r"encryption\.key is missing"):
        open_vault(source)
    first, second = add_key(source), add_key(source)
    assert [key.id for key in read_keys(source)] == [second.id, first.id]
    assert source.file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in source.file.parent.iterdir()] == ["encryption.key"]


def test_environment_before_command_before_file(tmp_path: Path) -> None:
    one, two = base64_key(), base64_key()
    source = KeySource(key_file(tmp_path), f"{one},{two}", "false")
    assert len(read_keys(source)) == 2
    assert not source.is_file
    printed = KeySource(key_file(tmp_path), None, f"echo {two}")
    assert read_keys(printed)[0].id == read_keys(source)[1].id


def test_the_settings_and_the_environment_name_the_same_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O_ENCRYPTION_KEY", base64_key())
    monkeypatch.setenv("O_ENCRYPTION_KEY_COMMAND", "secret read")
    environ = {
        "O_HOME": str(tmp_path),
        "O_ENCRYPTION_KEY": Settings(home=tmp_path).encryption_key.get_secret_value(),  # type: ignore[union-attr]
        "O_ENCRYPTION_KEY_COMMAND": "secret read",
    }
    assert KeySource.of(Settings(home=tmp_path)) == KeySource.of_environ(environ)


@pytest.mark.parametrize(
    ("text", "command", "said"),
    [
        ("", None, "O_ENCRYPTION_KEY holds no encryption key; make one"),
        ("abcd", None, "O_ENCRYPTION_KEY holds no encryption key in base64"),
        ("#", None, "holds no encryption key"),
        (None, "sh -c 'echo no vault >&2; exit 3'", "O_ENCRYPTION_KEY_COMMAND failed: no vault"),
        (None, "no-such-program", "O_ENCRYPTION_KEY_COMMAND gave no key"),
    ],
)
def test_what_is_no_key_is_told_with_the_remedy(
    tmp_path: Path, text: str | None, command: str | None, said: str
) -> None:
    with pytest.raises(SetupError, match=said):
        read_keys(KeySource(key_file(tmp_path), text, command))


def test_a_file_that_is_damaged_stops_the_start(tmp_path: Path) -> None:
    source = KeySource(key_file(tmp_path))
    add_key(source)
    source.file.write_text("garbage\n")
    with pytest.raises(SetupError, match=str(source.file)):
        read_keys(source)
    assert len(Key(b"x" * 32).id) == 8
