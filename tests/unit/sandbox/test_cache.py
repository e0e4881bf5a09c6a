"""Compiled code on disk: what is not genuine is never handed out, and old entries go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from o_sandbox.cache import KEPT, CompiledCache, UnsafeCacheError

pytestmark = pytest.mark.unit
CONTENT = os.urandom(5 * 1024 * 1024 + 7)


@pytest.fixture
def cache(tmp_path: Path) -> CompiledCache:
    return CompiledCache(tmp_path / "cache")


def content(cache: CompiledCache, key: str) -> bytes | None:
    descriptor = cache.find(key)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_what_was_added_is_found_under_its_key_alone(cache: CompiledCache) -> None:
    assert cache.find("python-a-1") is None
    first = cache.add("python-a-1", b"older")
    second = cache.add("python-a-1", CONTENT)
    assert (first.exists(), second.stat().st_mode & 0o777) == (False, 0o600)
    assert content(cache, "python-a-1") == CONTENT
    assert cache.find("python-a-2") is None


@pytest.mark.parametrize("place", [0, 2 * 1024 * 1024, len(CONTENT) - 1])
def test_a_corrupt_entry_is_removed(cache: CompiledCache, place: int) -> None:
    path = cache.add("python-a-1", CONTENT)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([CONTENT[place] ^ 1]))
    assert cache.find("python-a-1") is None
    assert not path.exists()


def test_pieces_in_another_order_or_cut_off_are_not_genuine(cache: CompiledCache) -> None:
    path = cache.add("python-a-1", CONTENT)
    half = 2 * 1024 * 1024
    for other in (
        CONTENT[half : 2 * half] + CONTENT[:half] + CONTENT[2 * half :],
        CONTENT[:half],
        b"",
    ):
        path.write_bytes(other)
        assert cache.find("python-a-1") is None


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_what_others_may_write_is_not_loaded(cache: CompiledCache, mode: int) -> None:
    path = cache.add("python-a-1", CONTENT)
    path.chmod(mode)
    assert cache.find("python-a-1") is None
    cache.folder.chmod(0o700 | mode)
    for use in (lambda: cache.find("python-a-1"), lambda: cache.add("python-a-1", CONTENT)):
        with pytest.raises(UnsafeCacheError, match="chmod 700"):
            use()


def test_a_link_is_no_entry(cache: CompiledCache, tmp_path: Path) -> None:
    path = cache.add("python-a-1", CONTENT)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.find("python-a-1") is None
    assert (tmp_path / "elsewhere").exists()


def test_entries_that_were_used_last_stay_and_others_go(cache: CompiledCache) -> None:
    other = cache.add("quickjs-a-1", b"another artifact")
    paths = [cache.add(f"python-a-{number}", CONTENT[:number]) for number in range(1, KEPT + 1)]
    for age, path in enumerate(paths):
        os.utime(path, (1_000_000 + age, 1_000_000 + age))
    assert content(cache, "python-a-1") == CONTENT[:1]
    cache.add("python-b-1", b"new")
    assert [path.exists() for path in paths] == [True, False, *[True] * (KEPT - 2)]
    assert other.exists()
