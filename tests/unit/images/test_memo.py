"""What is remembered of files, and when it is found out anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from o_platform.images.memo import FileMemo

pytestmark = pytest.mark.unit


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"one")
    return path


def finding(
    values: list[Any], further: Sequence[Path] = ()
) -> Callable[[], tuple[Any, Sequence[Path]]]:
    """Finds the next of `values` each time it is asked."""
    return lambda: (values.pop(0), further)


def test_a_digest_is_that_of_the_content_also_after_a_change(tmp_path: Path, source: Path) -> None:
    memo = FileMemo(tmp_path / "memo.json")
    assert memo.digest(source) == sha256(b"one").hexdigest()
    memo.save()
    before = source.stat()
    source.write_bytes(b"two")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))  # `ctime` tells all the same
    assert FileMemo(tmp_path / "memo.json").digest(source) == sha256(b"two").hexdigest()


def test_a_value_is_found_once_for_files_that_stay_as_they_are(
    tmp_path: Path, source: Path
) -> None:
    kept = tmp_path / "memo.json"
    first = FileMemo(kept)
    assert first.recall("answer", [source], finding([{"is": 1}])) == {"is": 1}
    first.save()
    second = FileMemo(kept)
    assert second.recall("answer", [source], finding([])) == {"is": 1}
    assert second.recall("another", [source], finding([2])) == 2


def test_a_value_follows_from_what_was_found_on_the_way_too(tmp_path: Path, source: Path) -> None:
    kept, library = tmp_path / "memo.json", tmp_path / "library"
    library.write_bytes(b"old")
    values: list[Any] = ["first", "second", "third"]
    for expected in ("first", "second", "third"):
        memo = FileMemo(kept)
        assert memo.recall("answer", [source], finding(values, [library])) == expected
        memo.save()
        again = FileMemo(kept).recall("answer", [source], finding([]))
        assert again == expected
        library.unlink()
        library.write_bytes(b"new")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 99, "known": {"answer": 1}}'])
def test_a_damaged_memo_counts_as_none(tmp_path: Path, source: Path, damage: bytes) -> None:
    (tmp_path / "memo.json").write_bytes(damage)
    memo = FileMemo(tmp_path / "memo.json")
    assert memo.recall("answer", [source], finding(["new"])) == "new"


def test_only_what_was_asked_for_is_kept(tmp_path: Path, source: Path) -> None:
    kept = tmp_path / "memo.json"
    memo = FileMemo(kept)
    for name in ("used", "unused", "forgotten"):
        memo.recall(name, [source], finding([name]))
    memo.save()
    memo = FileMemo(kept)
    memo.recall("used", [source], finding([]))
    memo.recall("forgotten", [source], finding([]))
    memo.forget("forgotten")
    memo.recall("new", [source], finding(["new"]))
    memo.save()
    last = FileMemo(kept)
    assert last.recall("used", [source], finding([])) == "used"
    for name in ("unused", "forgotten"):
        assert last.recall(name, [source], finding(["anew"])) == "anew"


def test_a_missing_file_is_the_askers_problem(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileMemo(tmp_path / "memo.json").digest(tmp_path / "nothing")


def test_without_room_nothing_is_left_behind(
    tmp_path: Path, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "memo.json").mkdir()
    memo = FileMemo(tmp_path / "memo.json")
    memo.digest(source)
    memo.save()
    assert "starts take longer" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memo.json", "source"]
