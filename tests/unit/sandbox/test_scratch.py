"""The scratch folder's accounts: nothing outside it has a name, and nothing goes over its quota."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_sandbox.engine.scratch import ENTRY_BYTES, Scratch, ScratchError

pytestmark = pytest.mark.unit
QUOTA = 20 * ENTRY_BYTES
_paths = st.lists(st.sampled_from(["a", "b", ".", "..", "", "c"]), max_size=4).map("/".join)
_calls = st.tuples(
    st.sampled_from(["read", "write", "append", "truncate", "list", "stat", "folder", "remove"]),
    st.fixed_dictionaries(
        {"path": _paths},
        optional={
            "content": st.sampled_from(["", "x", "y" * ENTRY_BYTES, "z" * QUOTA]),
            "at": st.one_of(st.none(), st.integers(-1, QUOTA + 1), st.just(2**62)),
            "size": st.one_of(st.none(), st.integers(-1, QUOTA + 1)),
        },
    ),
)
_moves = st.tuples(st.just("rename"), st.fixed_dictionaries({"path": _paths, "to": _paths}))


def call(scratch: Scratch, name: str, **arguments: Any) -> Any:
    return json.loads(scratch.answer(f"scratch.{name}", json.dumps(arguments)))


def held(scratch: Scratch, path: str = "") -> int:
    """Bytes below a folder by what its calls say, names included."""
    total = 0
    for name in call(scratch, "list", path=path):
        each = f"{path}/{name}"
        found = call(scratch, "stat", path=each)
        total += ENTRY_BYTES + (held(scratch, each) if found["folder"] else found["size"])
    return total


@given(st.lists(st.one_of(_calls, _moves), max_size=40))
def test_whatever_is_called_the_quota_holds_and_the_count_is_right(
    calls: list[tuple[str, dict[str, Any]]],
) -> None:
    scratch = Scratch(QUOTA)
    for name, arguments in calls:
        with contextlib.suppress(ScratchError):
            call(scratch, name, **arguments)
        assert held(scratch) == scratch.used_bytes <= QUOTA


def test_content_is_kept_as_text_and_as_bytes() -> None:
    scratch = Scratch(QUOTA)
    assert call(scratch, "write", path="/a", content="grüße") == 7
    assert call(scratch, "append", path="a", content="IQ==", encoding="base64") == 8
    assert call(scratch, "read", path="./a") == "grüße!"
    assert call(scratch, "read", path="a", at=2, size=2, encoding="base64") == "w7w="
    assert call(scratch, "write", path="a", content="-", at=10) == 11
    assert call(scratch, "read", path="a", at=8, encoding="base64") == "AAAt"
    assert call(scratch, "write", path="a", content="b") == 1
    call(scratch, "folder", path="d")
    call(scratch, "rename", path="a", to="d/c")
    call(scratch, "rename", path="d", to="e")
    assert call(scratch, "read", path="e/c") == "b"
    assert call(scratch, "list", path="") == ["e"]


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("read", {"path": "../x"}, "EACCES"),
        ("write", {"path": "d/../../x"}, "EACCES"),
        ("read", {"path": "none"}, "ENOENT"),
        ("write", {"path": "none/x"}, "ENOENT"),
        ("write", {"path": "f/x"}, "ENOTDIR"),
        ("read", {"path": "d"}, "EISDIR"),
        ("remove", {"path": "d"}, "ENOTEMPTY"),
        ("remove", {"path": "/"}, "EBUSY"),
        ("folder", {"path": "f"}, "EEXIST"),
        ("rename", {"path": "d", "to": "d/e"}, "EINVAL"),
        ("rename", {"path": "d", "to": "f"}, "EEXIST"),
        ("write", {"path": "n" * 256}, "ENAMETOOLONG"),
        ("write", {"path": "a\0b"}, "ENAMETOOLONG"),
        ("write", {"path": "x", "content": "x" * QUOTA}, "ENOSPC"),
        ("write", {"path": "f", "content": "x", "at": 2**39}, "ENOSPC"),
        ("write", {"path": "f", "content": "x", "at": 2**62}, "EINVAL"),
        ("write", {"path": "f", "content": "!", "encoding": "base64"}, "EINVAL"),
        ("write", {"path": ["f"]}, "EINVAL"),
        ("write", {"path": "f", "more": 1}, "EINVAL"),
        ("read", {"path": "b"}, "EILSEQ"),
        ("chmod", {"path": "f"}, "ENOSYS"),
    ],
)
def test_a_refusal_begins_with_its_number_s_name(
    name: str, arguments: dict[str, Any], code: str
) -> None:
    scratch = Scratch(QUOTA)
    for path in ("d", "d/inner"):
        call(scratch, "folder", path=path)
    call(scratch, "write", path="f", content="kept")
    call(scratch, "write", path="b", content="/w==", encoding="base64")
    with pytest.raises(ScratchError, match=f"^{code}: "):
        call(scratch, name, **arguments)
    assert call(scratch, "read", path="f") == "kept"


def test_names_alone_fill_the_folder() -> None:
    scratch = Scratch(QUOTA)
    for number in range(20):
        call(scratch, "write", path=str(number))
    with pytest.raises(ScratchError, match="ENOSPC"):
        call(scratch, "write", path="21")
    call(scratch, "remove", path="3")
    call(scratch, "write", path="21")
