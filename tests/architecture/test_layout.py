"""The house keeps its shape: fixed folders, import arrows, no names of one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
FIXED = ("platform", "sandbox", "tools", "agent_images", "benchmarks", "tests")


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for line in listing.stdout.splitlines() if (path := ROOT / line).is_file()]


@pytest.mark.parametrize("folder", FIXED)
def test_fixed_folders_hold_no_modules_of_their_own(folder: str) -> None:
    loose = {path.name for path in (ROOT / folder).glob("*.py")} - {"conftest.py"}
    assert not loose, f"{folder}/ must not be importable: it would shadow another module"


def test_the_standard_library_platform_module_wins_at_the_root() -> None:
    code = "import platform, pytest; print(platform.python_version())"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_import_arrows_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:]


def test_the_agent_runtime_imports_nothing_of_the_platform() -> None:
    code = (
        "import sys, pkgutil, importlib, o_agent\n"
        "for m in pkgutil.walk_packages(o_agent.__path__, 'o_agent.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "heavy = {'o_platform', 'sqlalchemy', 'psycopg', 'pydantic', 'fastapi', 'litellm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_no_file_names_a_path_of_one_machine() -> None:
    private = re.compile(r"(?<![\w/.])/(work|root|farm)/\w")
    for path in tracked_files():
        if path.suffix in {".py", ".md", ".toml", ".yml", ".sh", ".cfg", ".json"}:
            found = private.search(path.read_text(errors="replace"))
            assert found is None, f"{path.relative_to(ROOT)} names {found.group(0)!r}"


def test_lock_files_name_no_index() -> None:
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert locks, "requirements/ holds the hashed lock files"
    for lock in locks:
        text = lock.read_text()
        assert "--index-url" not in text
        assert "--hash=sha256:" in text, f"{lock.name} has no hashes; run `make lock`"
