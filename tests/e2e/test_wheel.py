"""The sandboxes as somebody has them who installed the wheel and knows no more than the README."""

from __future__ import annotations

import re
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


def test_three_lines_of_the_readme_run_from_a_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (lines,) = re.findall(
        r"```python\n(from o_sandbox.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert sum(bool(line) for line in lines.splitlines()) == 3
    # Without `site`, nothing leads back to this checkout.
    path = [str(tmp_path / "site"), *site.getsitepackages()]
    program = f"import sys; sys.path += {path!r}\n{lines}\nprint(sys.modules['o_sandbox'].__file__)"
    command = [sys.executable, "-I", "-S", "-c", program]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["42", str(tmp_path / "site" / "o_sandbox" / "__init__.py")]
