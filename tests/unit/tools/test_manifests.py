"""The manifests of the built-in tools."""

from __future__ import annotations

import pytest

from o_tools.catalogue import SPECS
from o_tools.edits import Edit
from o_tools.manifests import MANIFESTS, ManifestError, read_manifests
from o_tools.sandboxed import SANDBOXED

pytestmark = pytest.mark.unit
TOOL = """
[look]
description = "Look."
arguments = "queries.ConversationSearch"
tier = "bridge"
grants = []
effects = "none"
limits = { calls = 3 }
"""


def test_the_catalogue_is_the_manifests() -> None:
    assert list(SPECS) == [*MANIFESTS, *SANDBOXED]
    for name, manifest in MANIFESTS.items():
        assert SPECS[name].description == manifest.description
        if issubclass(manifest.arguments_type, Edit):
            assert "memory.write" in manifest.grants
        writes = any(grant.endswith((".write", ".insert")) for grant in manifest.grants)
        assert manifest.effects == "turn" if writes else True, name


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[look]", "[look"), "tool.toml"),
        (('effects = "none"', ""), "effects"),
        (('"bridge"', '"moon"'), "moon"),
        (("grants = []", 'grants = ["root"]'), "root"),
        (("calls = 3", "calls = 0"), "calls"),
        (("limits", "more = 1\nlimits"), "more"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_place(change: tuple[str, str], says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        read_manifests(TOOL.replace(*change))


def test_arguments_are_a_type_of_this_package() -> None:
    for wrong in ("queries.Nothing", "os.PathLike", "queries"):
        manifest = read_manifests(TOOL.replace("queries.ConversationSearch", wrong))["look"]
        with pytest.raises(ManifestError, match="no type of arguments"):
            _ = manifest.arguments_type
