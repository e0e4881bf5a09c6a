"""What a child writes gets into its log, whatever is noticed first."""

from __future__ import annotations

import os
import selectors
from pathlib import Path

import pytest

from o_platform.supervisor.output import ChildOutput
from o_platform.supervisor.records import RotatingFile

pytestmark = pytest.mark.unit


def test_a_pipe_that_was_read_to_its_end_is_left_alone_afterwards(tmp_path: Path) -> None:
    selector = selectors.DefaultSelector()
    output = ChildOutput(selector, RotatingFile(tmp_path / "log", max_bytes=1000, keep=1))
    writing = output.open_pipe()
    os.write(writing, b"last words\n")
    os.close(writing)
    ((key, mask),) = selector.select(0)
    # In the same round the process's death was seen, and everything read because of it.
    output.read_now()
    assert not selector.get_map()
    key.data(mask)
    assert (tmp_path / "log").read_bytes() == b"last words\n"
    output.close()
    selector.close()
