from __future__ import annotations

import contextlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_platform.errors import BuildError
from o_platform.images.diff import genome_diff
from o_platform.images.genome import Genome, seed_genome_dir
from o_platform.images.layout import MAX_BYTES, MAX_FILES, MAX_PYTHON_BYTES

pytestmark = pytest.mark.unit

FILES = {
    "genome.toml": b"[params.temperature]\nvalue = 0.5\nmin = 0.0\nmax = 2.0\n",
    "prompts/system.md": b"Be brief.\n",
    "blocks/policy.toml": b"",
    "tools/clock.py": b"def now() -> int:\n    return 1\n",
    "loop/hooks.py": b"",
    "tests/test_it.py": b"",
}


def tar_of(files: dict[str, bytes], **info: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in info.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_the_seed_genome_is_valid() -> None:
    assert Genome.from_dir(seed_genome_dir()).param_values()


def test_a_digest_names_content_only(tmp_path: Path) -> None:
    genome = Genome.from_files(FILES)
    genome.write_to(tmp_path)
    (tmp_path / "tools" / "__pycache__").mkdir()
    (tmp_path / "tools" / "__pycache__" / "clock.cpython-311.pyc").write_bytes(b"\0")
    os.utime(tmp_path / "genome.toml", (1, 1))
    odd = tar_of(dict(reversed(FILES.items())), mtime=7, uid=1, uname="me", mode=0o600)
    assert (
        Genome.from_dir(tmp_path) == genome == Genome.from_tar(odd) == Genome.from_tar(genome.tar)
    )
    assert genome.digest == "7539fbd11b3848964fbd9adb6d7bdf0e772eadd06d3b6781415143ca9f6de928"


def test_parameters_have_their_bounds() -> None:
    param = Genome.from_files(FILES).params["temperature"]
    assert (param.value, param.minimum, param.maximum) == (0.5, 0.0, 2.0)


@pytest.mark.parametrize(
    ("path", "data", "problem"),
    [
        ("/etc/passwd", b"", "leaves the genome"),
        ("tools/x.py", b"#" * (MAX_PYTHON_BYTES + 1), "is larger than"),
        ("prompts/../../x", b"", "leaves the genome"),
        ("prompts//x", b"", "odd name"),
        ("prompts/.hidden", b"", "odd name"),
        ("prompts/a b", b"", "odd name"),
        ("prompts/" + "a" * 200, b"", "odd name"),
        ("README.md", b"", "is not a gene"),
        ("bin/x", b"", "is not a gene"),
        ("tools", b"", "is not a gene"),
        ("tools/x.so", b"", "does not belong in tools/"),
        ("tools/deep/x.py", b"", "does not belong in tools/"),
        ("loop/X-1.py", b"", "does not belong in loop/"),
        ("prompts/x", b"\xff", "not UTF-8"),
        ("prompts/x", b"a\0b", "NUL"),
        ("tools/x.py", b"a = 1\ndef f(:\n", "tools/x.py:2: invalid syntax"),
        ("tools/x.py", b"return 1\n", "tools/x.py:1: 'return' outside function"),
        ("tools/x.py", b"(" * 10_000, "tools/x.py"),
        ("tests/x.py", b"x = '\\d'\nif", "tests/x.py:2"),
        ("genome.toml", b"a = ", "invalid TOML"),
        ("genome.toml", b"[params.x]\nvalue = 3\nmin = 0\nmax = 2\n", r"params.x: 3 is outside"),
        ("genome.toml", b"[params.x]\nvalue = nan\nmin = 0\nmax = 2\n", "is outside"),
        ("genome.toml", b"[params.x]\nvalue = 3\n", "needs `min` and `max`"),
        ("genome.toml", b"[params.x]\nvalue = 3\nmin = 0\nmax = true\n", "needs `min` and `max`"),
        ("genome.toml", b"[params.x]\nmin = 3\n", "with `value = "),
        ("genome.toml", b"[params.X]\nvalue = true\n", "lower-case"),
        ("genome.toml", b"[params.x]\nvalue = true\nstep = 1\n", "unknown key `step`"),
        ("genome.toml", b"[params.x]\nvalue = 'c'\nchoices = ['a', 'b']\n", "is none of"),
        ("genome.toml", b"[params.x]\nvalue = []\n", "a list cannot"),
        ("genome.toml", b"params = 3\n", "table of tables"),
    ],
)
def test_what_a_genome_may_not_hold(path: str, data: bytes, problem: str) -> None:
    with pytest.raises(BuildError, match=problem):
        Genome.from_files(FILES | {path: data})


def test_a_genome_needs_its_manifest() -> None:
    with pytest.raises(BuildError, match="no genome.toml"):
        Genome.from_files({"prompts/x": b""})


def test_amounts_are_limited(tmp_path: Path) -> None:
    many = {f"prompts/{i}": b"" for i in range(MAX_FILES)}
    with pytest.raises(BuildError, match=f"more than {MAX_FILES} files"):
        Genome.from_files(FILES | many)
    big = FILES | {"prompts/big": bytes(MAX_BYTES)}
    with pytest.raises(BuildError, match=f"more than {MAX_BYTES} bytes"):
        Genome.from_files(big)
    with pytest.raises(BuildError, match=f"more than {MAX_BYTES} bytes"):
        Genome.from_tar(tar_of(big))
    (tmp_path / "prompts").mkdir()
    with (tmp_path / "prompts" / "big").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BuildError, match=f"more than {MAX_BYTES} bytes"):
        Genome.from_dir(tmp_path)


def test_links_and_special_files_are_refused(tmp_path: Path) -> None:
    Genome.from_files(FILES).write_to(tmp_path)
    secret = tmp_path / "prompts" / "secret"
    secret.symlink_to("/etc/shadow")
    with pytest.raises(BuildError, match="prompts/secret is a link"):
        Genome.from_dir(tmp_path)
    secret.unlink()
    os.mkfifo(secret)
    with pytest.raises(BuildError, match="special file"):
        Genome.from_dir(tmp_path)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        with pytest.raises(BuildError, match="is a link or a special file"):
            Genome.from_tar(tar_of({"prompts/x": b""}, type=kind))


def test_what_is_no_tar_is_refused() -> None:
    with pytest.raises(BuildError, match="not a plain tar"):
        Genome.from_tar(b"x" * 2000)
    data = tar_of({"genome.toml": b""})
    with pytest.raises(BuildError, match="twice"):
        Genome.from_tar(data[:512] + data)
    with pytest.raises(BuildError, match="not a folder"):
        Genome.from_dir(Path("/nowhere"))


@given(st.dictionaries(st.text(max_size=30), st.binary(max_size=60), max_size=4))
def test_anything_else_is_a_clear_error(files: dict[str, bytes]) -> None:
    with contextlib.suppress(BuildError):
        genome = Genome.from_files({"genome.toml": b""} | files)
        assert Genome.from_tar(genome.tar) == genome


def test_a_diff_tells_what_changed() -> None:
    before = Genome.from_files(FILES | {"prompts/old": b"x\n"})
    changed = {"prompts/system.md": b"Be kind.\nAlways.", "tests/empty.py": b""}
    after = Genome.from_files(FILES | changed)
    assert genome_diff(before, before) == ""
    assert genome_diff(before, after) == (
        "--- a/prompts/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        "--- a/prompts/system.md\n+++ b/prompts/system.md\n@@ -1 +1,2 @@\n-Be brief.\n"
        "+Be kind.\n+Always.\n\\ No newline at end of file\n"
        "--- /dev/null\n+++ b/tests/empty.py\n"
    )
