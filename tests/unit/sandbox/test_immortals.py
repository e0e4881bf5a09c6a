"""The counts of references in a component's memory image."""

from __future__ import annotations

import struct

import pytest

from o_sandbox.guest import immortals
from o_sandbox.guest.immortals import IMMORTAL, ImageError, make_immortal

pytestmark = pytest.mark.unit
ADDRESS, HELD, ITEMS, MORTAL, KEPT = 4096, 8192, 8300, 9000, 9100


def _leb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _component(*segments: tuple[int, bytes]) -> bytearray:
    """A module with these active segments in a component."""
    data = _leb(len(segments))
    for address, content in segments:
        data += b"\0\x41" + _leb(address) + b"\x0b" + _leb(len(content)) + content
    module = b"\0asm\1\0\0\0" + b"\x0b" + _leb(len(data)) + data
    return bytearray(b"\0asm\x0d\0\1\0" + b"\1" + _leb(len(module)) + module)


def _words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(immortals, "_FEWEST", 1)


@pytest.mark.usefixtures("few")
def test_the_counts_of_listed_objects_become_immortal_and_no_others() -> None:
    mark = b"o-sandbox: addresses of objects "
    segments = [
        (ADDRESS, mark + _words(7, 4)),  # copies that lead nowhere, or to another list
        (ADDRESS + 100, mark + _words(HELD, 5)),
        (ADDRESS + 200, mark + _words(HELD, 4)),
        (HELD, _words(3, 77, 4, ITEMS, 4)),
        (ITEMS, _words(MORTAL, MORTAL + 8, KEPT, MORTAL)),
        (MORTAL, _words(2, 77, 3, 77, 4, 77)),
        (KEPT, _words(7 << 28, 77)),
    ]
    component = _component(*segments)
    assert make_immortal(component) == 2
    segments[3] = (HELD, _words(3, 77, 0, ITEMS, 4))
    segments[4] = (ITEMS, bytes(16))
    segments[5] = (MORTAL, _words(IMMORTAL, 77, IMMORTAL, 77, 4, 77))
    assert component == _component(*segments)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("content", [b"", b"o-sandbox: addresses of objects \0\0\0\0\0\0\0\0"])
def test_an_image_without_the_list_is_refused(content: bytes) -> None:
    with pytest.raises(ImageError, match="not marked"):
        make_immortal(_component((ADDRESS, content)))
