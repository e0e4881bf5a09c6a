from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest

from o_platform.errors import SetupError
from o_platform.images.packages import DISTRIBUTIONS, closure, package_entries, with_bytecode
from o_platform.images.tarball import Entry

pytestmark = pytest.mark.unit

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_agents_wheels_are_those_of_its_dependency_group() -> None:
    group = tomllib.loads(PYPROJECT.read_text())["dependency-groups"]["agent"]
    assert tuple(sorted(line.partition(">=")[0] for line in group)) == DISTRIBUTIONS


def test_what_a_wheel_needs_comes_along() -> None:
    assert closure(["uvicorn"]) >= {"uvicorn", "click", "h11"}
    with pytest.raises(SetupError, match="no-such-thing is not installed"):
        closure(["no-such-thing"])


def test_an_instance_sees_its_packages_and_never_the_platform() -> None:
    paths = {entry.path for entry in package_entries("site")}
    tops = {path.split("/")[1] for path in paths}
    assert {"o_agent", "o_contracts", "o_sandbox", "o_tools", "uvicorn", "msgspec"} <= tops
    assert not tops & {"o_platform", "o_benchmarks", "sqlalchemy", "docker", "pydantic"}
    assert not [path for path in paths if ".." in path or path.endswith((".pyc", ".pyx"))]


def test_bytecode_is_not_checked_against_its_source(tmp_path: Path) -> None:
    source = tmp_path / "m.py"
    source.write_text("x = 1\n")
    for content in (source.read_bytes(), source):
        entry, compiled = with_bytecode([Entry("site/m.py", content=content)])
        assert entry.path == "site/m.py"
        assert compiled.path == importlib.util.cache_from_source("site/m.py")
        assert compiled.read()[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(compiled.read()[4:8], "little") == 0b01
