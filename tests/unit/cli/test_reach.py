"""Programs and folders that other users can, or cannot, reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from o_platform.cli.reach import closed_folders, reachable_program, require_reachable
from o_platform.errors import SetupError

pytestmark = pytest.mark.unit
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")


def test_closed_folders_are_found(short_tmp: Path) -> None:
    inner = short_tmp / "inner"
    inner.mkdir(mode=0o700)
    assert closed_folders(short_tmp / "file") == []
    assert closed_folders(inner / "file") == [inner]


@as_root
def test_a_program_in_a_closed_folder_is_copied_once(short_tmp: Path) -> None:
    closed = short_tmp / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "envoy"
    program.write_text("#!/bin/sh")
    program.chmod(0o700)
    copy = reachable_program(program, short_tmp / "cache")
    assert copy.parent == short_tmp / "cache"
    assert copy.read_text() == "#!/bin/sh"
    assert copy.stat().st_mode & 0o777 == 0o755
    before = copy.stat().st_ino
    assert reachable_program(program, short_tmp / "cache").stat().st_ino == before
    closed.chmod(0o711)
    assert reachable_program(program, short_tmp / "cache") == program


@as_root
def test_a_home_in_a_closed_folder_is_refused_with_the_remedy(short_tmp: Path) -> None:
    closed = short_tmp / "closed"
    (closed / "home").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(SetupError, match=f"chmod o\\+x {closed}"):
        require_reachable(closed / "home")
