"""Where the encryption keys come from: the environment, a command, or a file of the installation.

In all three they are written as base64 of 32 bytes; the first one seals, the others are former ones
that still open (and that backups from before need). The file is `<home>/keys/encryption.key`, a key
on each line, mode 0600. It is made at the first start; once the database knows a key, a missing or
a wrong one stops the start (`settle_keys`).
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import tempfile
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from o_platform.db.sealing import KEY_BYTES, Key, Vault
from o_platform.errors import SetupError

if TYPE_CHECKING:
    from o_platform.settings import Settings

COMMAND_WAIT_S: Final = 30.0
_HINT: Final = "make one with `openssl rand -base64 32`"
_NEWEST: Final = "SELECT id FROM encryption_keys ORDER BY created_at DESC LIMIT 1"
_REGISTER: Final = """
INSERT INTO encryption_keys (id) VALUES (%s)
ON CONFLICT (id) DO UPDATE SET created_at = now(), progress = '{}', sealed_at = NULL
"""


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where keys are read: `text`, else what `command` prints, else `file`."""

    file: Path
    text: str | None = None
    command: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> KeySource:
        """The source that the settings name."""
        text = settings.encryption_key
        return cls(
            key_file(settings.home),
            text.get_secret_value() if text is not None else None,
            settings.encryption_key_command,
        )

    @classmethod
    def of_environ(cls, environ: Mapping[str, str]) -> KeySource:
        """The same for a process that has no time to load settings."""
        text, command = environ.get("O_ENCRYPTION_KEY"), environ.get("O_ENCRYPTION_KEY_COMMAND")
        home = environ.get("O_HOME")
        return cls(key_file(Path(home) if home else _default_home()), text, command)

    @property
    def is_file(self) -> bool:
        """Whether the platform may add keys itself."""
        return self.text is None and self.command is None


def _default_home() -> Path:
    from o_platform.settings import default_home

    return default_home()


def key_file(home: Path) -> Path:
    """Where an installation keeps its keys, unless environment or command have them."""
    return home / "keys" / "encryption.key"


def open_vault(source: KeySource) -> Vault:
    """The vault with this installation's keys.

    Raises:
        SetupError: there is none, or one cannot be read.
    """
    keys = read_keys(source)
    if not keys:
        raise SetupError(
            f"the encryption key {source.file} is missing; `o up` makes it at the first start, "
            "later it has to come from your backup (or set O_ENCRYPTION_KEY)"
        )
    return Vault(keys, lambda: read_keys(source))


def read_keys(source: KeySource) -> Sequence[Key]:
    """The keys, the one that seals first; none if there is no file yet.

    Raises:
        SetupError: they cannot be read, or are none.
    """
    if source.text is not None:
        return _parsed(source.text.replace(",", "\n"), "O_ENCRYPTION_KEY")
    if source.command is not None:
        return _parsed(_output(source.command), "O_ENCRYPTION_KEY_COMMAND")
    try:
        text = source.file.read_text()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"the encryption key {source.file} cannot be read: {error}") from error
    return _parsed(text, str(source.file))


def add_key(source: KeySource) -> Key:
    """Make a key that seals from now on, before those in the file (mode 0600).

    Raises:
        SetupError: the file cannot be written.
    """
    made = Key(secrets.token_bytes(KEY_BYTES))
    lines = [b64encode(key.material).decode() for key in (made, *read_keys(source))]
    try:
        source.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(source.file, "\n".join(lines) + "\n")
    except OSError as error:
        raise SetupError(f"the encryption key {source.file} cannot be written: {error}") from error
    return made


def settle_keys(database_url: str, source: KeySource) -> None:
    """See to it that the keys at hand are those of this database; the first start makes one.

    Raises:
        SetupError: the database is sealed with a key that is not at hand, or a key cannot be read.
    """
    keys = read_keys(source)
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE encryption_keys IN SHARE ROW EXCLUSIVE MODE")
        row = connection.execute(_NEWEST).fetchone()
        newest = None if row is None else str(row[0])
        if newest is not None and newest not in {key.id for key in keys}:
            raise _not_at_hand(newest, keys, source)
        current = keys[0] if keys else add_key(source)
        if current.id != newest:
            connection.execute(_REGISTER, (current.id,))


def _not_at_hand(newest: str, keys: Sequence[Key], source: KeySource) -> SetupError:
    if not keys:
        found = f"{source.file} is not there"
    else:
        found = f"the key at hand is another one ({', '.join(key.id for key in keys)})"
    return SetupError(
        f"the database is encrypted with the key {newest}, and {found}; restore {source.file} from "
        "its backup, or set O_ENCRYPTION_KEY"
    )


def _write_private(path: Path, text: str) -> None:
    """Replace the file whole, and have it on the disk: without the key, the data is lost."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parsed(text: str, origin: str) -> Sequence[Key]:
    lines = [line.strip() for line in text.splitlines()]
    words = [line for line in lines if line and not line.startswith("#")]
    try:
        keys = [Key(b64decode(word, validate=True)) for word in words]
    except (Base64Error, ValueError) as error:
        raise SetupError(f"{origin} holds no encryption key in base64 ({error}); {_HINT}") from None
    if not keys:
        raise SetupError(f"{origin} holds no encryption key; {_HINT}")
    return keys


def _output(command: str) -> str:
    try:
        result = subprocess.run(  # noqa: S603 — the operator's own command
            shlex.split(command), capture_output=True, text=True, check=True,
            timeout=COMMAND_WAIT_S,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or f"exit code {error.returncode}"
        raise SetupError(f"O_ENCRYPTION_KEY_COMMAND failed: {reason}") from error
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SetupError(f"O_ENCRYPTION_KEY_COMMAND gave no key: {error}") from error
    return result.stdout
