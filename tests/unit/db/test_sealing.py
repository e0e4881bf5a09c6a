"""Sealed values: bound to their place, to a key, and never two alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from o_platform.db import marks
from o_platform.db.sealing import (
    EncryptionKeyError,
    Key,
    SealedValueError,
    Vault,
    is_sealed,
    place,
    sealed_with,
)

pytestmark = pytest.mark.unit

OLD, NEW = Key(b"o" * 32), Key(b"n" * 32)
HERE = place("blocks", "block-1", "value")


def test_a_value_is_read_where_it_was_sealed_and_nowhere_else() -> None:
    vault = Vault([OLD])
    sealed = vault.seal("Ada \N{HOT BEVERAGE}", HERE)
    assert is_sealed(sealed)
    assert "Ada" not in sealed
    assert sealed.startswith(sealed_with(OLD))
    assert vault.open(sealed, HERE) == "Ada \N{HOT BEVERAGE}"
    for elsewhere in (
        place("blocks", "block-2", "value"),
        place("blocks", "block-1", "label"),
        place("passages", "block-1", "value"),
    ):
        with pytest.raises(SealedValueError, match="was sealed for another row, or altered"):
            vault.open(sealed, elsewhere)
    middle = len(sealed) // 2
    other = "A" if sealed[middle] != "A" else "B"
    for broken in (sealed[:middle] + other + sealed[middle + 1 :], sealed[:20]):
        with pytest.raises(SealedValueError):
            vault.open(broken, HERE)
    assert vault.open("from before there were keys", HERE) == "from before there were keys"


def test_bytes_are_sealed_alike() -> None:
    vault = Vault([OLD])
    sealed = vault.seal_bytes(b"\x00\xffpaid", HERE)
    assert b"paid" not in sealed
    assert vault.open_bytes(sealed, HERE) == b"\x00\xffpaid"
    assert vault.open_bytes(b"\x81\xa1a\x01", HERE) == b"\x81\xa1a\x01"
    with pytest.raises(SealedValueError):
        vault.open_bytes(sealed, place("blocks", "block-2", "value"))


def test_both_keys_read_during_a_rotation_and_the_new_one_seals() -> None:
    keys: list[Sequence[Key]] = [[OLD]]
    vault = Vault([OLD], lambda: keys[0])
    before = vault.seal("text", HERE)
    keys[0] = [NEW, OLD]
    elsewhere = Vault(keys[0]).seal("text", HERE)
    # A key that it does not know makes it look.
    assert vault.open(elsewhere, HERE) == vault.open(before, HERE) == "text"
    assert vault.current is NEW
    with pytest.raises(EncryptionKeyError, match=f"the key {OLD.id}, which is not among"):
        Vault([NEW]).open(before, HERE)


def test_nonces_are_never_used_twice_by_threads() -> None:
    vault = Vault([OLD])

    def sealed(_: int) -> list[str]:
        return [vault.seal("same", HERE) for _ in range(2000)]

    with ThreadPoolExecutor(8) as pool:
        made = [value for values in pool.map(sealed, range(8)) for value in values]
    assert len(set(made)) == len(made)


def test_nonces_are_never_used_twice_in_a_process_nor_after_a_fork() -> None:
    vault = Vault([OLD])
    sealed = {vault.seal("same", HERE) for _ in range(100)}
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, vault.seal("same", HERE).encode())
        os._exit(0)
    os.waitpid(child, 0)
    sealed |= {vault.seal("same", HERE), os.read(reader, 1000).decode()}
    os.close(reader)
    os.close(writer)
    assert len(sealed) == 102


def test_a_key_tells_its_name_and_nothing_else() -> None:
    assert len({OLD.id, NEW.id}) == 2
    assert OLD.id == Key(b"o" * 32).id
    assert OLD.id not in OLD.material.hex()
    with pytest.raises(ValueError, match="32 bytes, not 5"):
        Key(b"short")


def test_marks_stand_for_stems_and_only_the_key_makes_them() -> None:
    vault = Vault([OLD])
    assert marks.vector(vault, "Running, the DOGS ran") == (
        f"'{OLD.mark('run')}':1 '{OLD.mark('dog')}':3 '{OLD.mark('ran')}':4"
    )
    assert marks.vector(vault, "dog dog") == f"'{OLD.mark('dog')}':1,2"
    assert marks.vector(vault, "café") == marks.vector(vault, "CAFE")
    assert OLD.mark("dog") != NEW.mark("dog")
    assert not marks.Query(vault, "the and — of")
    both = marks.Query(Vault([NEW, OLD]), "the dog's house")
    dog = f"('{NEW.mark('dog')}' | '{OLD.mark('dog')}')"
    house = f"('{NEW.mark('hous')}' | '{OLD.mark('hous')}')"
    assert both.all_words == f"{dog} & {house}"
    assert both.any_word == f"{dog} | {house}"
    assert both.two_words == f"({house} & {dog})"
    assert marks.Query(vault, "dog").two_words == ""
    many = marks.Query(vault, " ".join(f"{'x' * n}q" for n in range(1, 30)))
    assert many.two_words.count("&") == 28
