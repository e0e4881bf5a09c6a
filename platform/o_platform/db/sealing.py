"""Sealing: values that only this installation's keys can read (AES-256-GCM).

A sealed value is text, `o1:KEYID:BASE64(nonce, ciphertext, tag)`. What is sealed is bound to its
place, that is table, row and column: moved to another row, or altered, it is refused. The first key
of a `Vault` seals, all of them open; a value that names a key the vault does not know makes it read
its keys anew, so that a rotation reaches every process. Plain text, from before there were keys, is
returned as it is.

From each key come two: one seals, the other makes the marks that full-text search compares
(`marks`). Nonces are 64 random bits of the process and a counter: they never repeat under a key,
however many values there are.
"""

from __future__ import annotations

import os
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from typing import Final, NewType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from o_platform.errors import OError

KEY_BYTES: Final = 32
MARK_CHARACTERS: Final = 12
KNOWN_MARKS: Final = 32_768
"""Stems whose marks a process remembers."""
_PREFIX: Final = "o1:"
_ID_END: Final = len(_PREFIX) + 8
_BODY: Final = _ID_END + 1
_NONCE_BYTES: Final = 12
_COUNTS: Final = 1 << 32
Place = NewType("Place", bytes)


class SealedValueError(OError):
    """A sealed value cannot be opened: moved from another row, altered, or cut short."""

    code = "sealed_value_refused"


class EncryptionKeyError(OError):
    """The key is missing that a value was sealed with."""

    code = "encryption_key_missing"


def place(table: str, row: str, column: str) -> Place:
    """Where a value stands; `row` is its primary key, parts joined by a slash."""
    return Place(f"{table}\0{row}\0{column}".encode())


class Key:
    """One installation key, of 32 bytes; `id` names it and tells nothing of it."""

    __slots__ = ("_cipher", "id", "mark", "material")

    def __init__(self, material: bytes) -> None:
        """`material` are the 32 bytes.

        Raises:
            ValueError: they are not 32.
        """
        if len(material) != KEY_BYTES:
            raise ValueError(f"an encryption key has {KEY_BYTES} bytes, not {len(material)}")
        self.material = material
        self.id = _derived(material, b"id").hex()[:8]
        self._cipher = AESGCM(_derived(material, b"seal"))
        self.mark = _marker(_derived(material, b"mark"))
        """The mark of a stem: 12 hexadecimal digits that only the key can make."""

    def encrypt(self, nonce: bytes, text: bytes, where: Place) -> bytes:
        """Ciphertext and tag."""
        return self._cipher.encrypt(nonce, text, where)

    def decrypt(self, nonce: bytes, sealed: bytes, where: Place) -> bytes:
        """The text.

        Raises:
            InvalidTag: it was sealed for another place, or altered.
        """
        return self._cipher.decrypt(nonce, sealed, where)


class Vault:
    """Seals and opens values with the keys of one installation."""

    def __init__(
        self, keys: Sequence[Key], read: Callable[[], Sequence[Key]] | None = None
    ) -> None:
        """The first of `keys` seals; `read` reads them anew.

        Raises:
            ValueError: there is no key.
        """
        self._read = read
        self._nonces = _Nonces()
        self._take(keys)

    @property
    def current(self) -> Key:
        """The key that seals."""
        return self._current

    @property
    def keys(self) -> Sequence[Key]:
        """Every key, the current one first."""
        return tuple(self._keys.values())

    def reload(self) -> None:
        """Read the keys anew, if they can be."""
        if self._read is not None:
            self._take(self._read())

    def seal(self, text: str, where: Place) -> str:
        """The text as it may be stored at this place."""
        key = self._current
        nonce = self._nonces.next()
        sealed = nonce + key.encrypt(nonce, text.encode(), where)
        return f"{_PREFIX}{key.id}:{b2a_base64(sealed, newline=False).decode('ascii')}"

    def open(self, stored: str, where: Place) -> str:
        """The text that is stored at this place.

        Raises:
            EncryptionKeyError: the key it was sealed with is not here.
            SealedValueError: it was sealed for another place, or altered.
        """
        if not is_sealed(stored):
            return stored
        key = self._key(stored[len(_PREFIX) : _ID_END])
        try:
            sealed = a2b_base64(stored[_BODY:])
            return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], where).decode()
        except (InvalidTag, Base64Error, ValueError) as error:
            raise _refused(where) from error

    def seal_bytes(self, data: bytes, where: Place) -> bytes:
        """Bytes as they may be stored at this place: the same as of text, but not in base64."""
        key = self._current
        nonce = self._nonces.next()
        return sealed_with(key).encode() + nonce + key.encrypt(nonce, data, where)

    def open_bytes(self, stored: bytes, where: Place) -> bytes:
        """The bytes that are stored at this place.

        Raises:
            EncryptionKeyError: the key they were sealed with is not here.
            SealedValueError: they were sealed for another place, or altered.
        """
        if not is_sealed(stored[:_BODY].decode("latin-1")):
            return stored
        key = self._key(stored[len(_PREFIX) : _ID_END].decode("latin-1"))
        sealed = stored[_BODY:]
        try:
            return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], where)
        except (InvalidTag, ValueError) as error:
            raise _refused(where) from error

    def _key(self, key_id: str) -> Key:
        key = self._keys.get(key_id)
        if key is None:
            self.reload()
            key = self._keys.get(key_id)
        if key is None:
            raise EncryptionKeyError(
                f"a value was sealed with the key {key_id}, which is not among the encryption keys "
                f"of this installation ({', '.join(self._keys)}); restore `<home>/keys/"
                "encryption.key` from its backup, or add the key to O_ENCRYPTION_KEY",
                key_id=key_id,
            )
        return key

    def _take(self, keys: Sequence[Key]) -> None:
        if not keys:
            raise ValueError("a vault needs a key")
        self._keys = {key.id: key for key in keys}
        self._current = keys[0]


def is_sealed(stored: str) -> bool:
    """Whether a stored text is sealed."""
    return stored.startswith(_PREFIX) and stored[_ID_END:_BODY] == ":"


def sealed_with(key: Key) -> str:
    """What every value begins with that this key sealed."""
    return f"{_PREFIX}{key.id}:"


def _refused(where: Place) -> SealedValueError:
    table, row, column = bytes(where).decode().split("\0")
    return SealedValueError(
        f"{column} of {row} in {table} was sealed for another row, or altered; restore the row "
        "from a backup",
        table=table,
        row=row,
        column=column,
    )


class _Nonces:
    """Nonces that this process has not used, in whichever thread; a fork begins its own."""

    __slots__ = ("_series",)

    def __init__(self) -> None:
        self._series = (0, b"", count())

    def next(self) -> bytes:
        # A series is replaced whole, and a count's next number goes to one thread alone.
        pid, prefix, numbers = self._series
        number = next(numbers)
        if pid != os.getpid() or number >= _COUNTS:
            prefix, numbers = os.urandom(8), count()
            number = next(numbers)
            self._series = (os.getpid(), prefix, numbers)
        return prefix + number.to_bytes(4, "big")


def _derived(material: bytes, purpose: bytes) -> bytes:
    return blake2b(purpose, key=material, digest_size=KEY_BYTES, person=b"project-o v1").digest()


def _marker(key: bytes) -> Callable[[str], str]:
    @lru_cache(maxsize=KNOWN_MARKS)
    def mark(stem: str) -> str:
        return blake2b(stem.encode(), key=key, digest_size=MARK_CHARACTERS // 2).hexdigest()

    return mark
