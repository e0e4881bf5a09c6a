"""What the memory tools do to a block's text."""

from __future__ import annotations

import pytest

from o_tools.catalogue import SPECS, parse_call, specs_of
from o_tools.edits import (
    CoreMemoryAppend,
    CoreMemoryReplace,
    MemoryInsert,
    MemoryReplace,
    MemoryRethink,
)
from o_tools.errors import ToolError
from o_tools.patch import apply_patch

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "line", "expected"),
    [
        ("", -1, "new"),
        ("a\nb", -1, "a\nb\nnew"),
        ("a\nb", 0, "new\na\nb"),
        ("a\nb", 1, "a\nnew\nb"),
        ("a\nb", 2, "a\nb\nnew"),
    ],
)
def test_insert_puts_the_text_after_a_line(value: str, line: int, expected: str) -> None:
    assert MemoryInsert("human", "new", line).apply(value) == expected


@pytest.mark.parametrize("line", [-2, 3])
def test_insert_outside_the_block_is_told(line: int) -> None:
    with pytest.raises(ToolError, match="has 2 lines"):
        MemoryInsert("human", "new", line).apply("a\nb")


def test_replace_wants_exactly_one_occurrence() -> None:
    assert MemoryReplace("human", "tea", "coffee").apply("likes tea") == "likes coffee"
    with pytest.raises(ToolError, match="does not occur"):
        MemoryReplace("human", "milk", "").apply("likes tea")
    with pytest.raises(ToolError, match="occurs 2 times"):
        MemoryReplace("human", "tea", "").apply("tea and tea")
    with pytest.raises(ToolError, match="does not occur"):
        MemoryReplace("human", "", "x").apply("tea")


def test_the_older_tools_append_and_replace_all() -> None:
    assert CoreMemoryAppend("human", "b").apply("a") == "a\nb"
    assert CoreMemoryAppend("human", "b").apply("") == "b"
    assert CoreMemoryReplace("human", "a", "b").apply("a a") == "b b"
    with pytest.raises(ToolError, match="does not occur"):
        CoreMemoryReplace("human", "x", "b").apply("a a")


def test_only_a_rewrite_cannot_be_repeated_on_another_text() -> None:
    assert MemoryRethink("human", "new").apply("old") == "new"
    assert not MemoryRethink.rebases
    assert MemoryInsert.rebases


def test_a_patch_changes_what_its_context_names() -> None:
    text = "name: Ada\nlikes: tea\nplays: cello"
    patch = (
        "@@ -1,9 +1,9 @@\n name: Ada\n-likes: tea\n+likes: coffee\n@@\n plays: cello\n+reads: Gauss"
    )
    assert apply_patch(text, patch) == "name: Ada\nlikes: coffee\nplays: cello\nreads: Gauss"


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("-milk\n+tea", "matches nowhere"),
        ("-a\n+b", "matches in 2 places"),
        (" a", "changes nothing"),
        ("", "changes nothing"),
        ("a\n+b", "does not start with"),
    ],
)
def test_a_patch_that_does_not_fit_is_told(patch: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason):
        apply_patch("a\nx\na", patch)


def test_lines_can_be_patched_into_an_empty_block() -> None:
    assert apply_patch("", "+a\n+b") == "a\nb"


def test_calls_are_parsed_as_models_write_them() -> None:
    call = parse_call(
        "memory_insert", '{"label": "h", "new_string": "x", "insert_line": "2", "why": 1}'
    )
    assert call == MemoryInsert("h", "x", 2)
    assert parse_call("memory_finish_edits", "") is not None
    for name, arguments, reason in (
        ("rm", "{}", "there is no tool 'rm'"),
        ("memory_insert", "{", "not valid"),
        ("memory_insert", '{"label": "h"}', "new_string"),
        ("conversation_search", '{"roles": ["boss"]}', "not valid"),
        ("archival_memory_search", '{"query": "x", "top_k": 0}', "not valid"),
        ("archival_memory_insert", f'{{"content": "{"x" * 50_001}"}}', "length <= 50000"),
        ("archival_memory_insert", f'{{"content": "x", "tags": ["{"x" * 101}"]}}', "length <= 100"),
    ):
        with pytest.raises(ToolError, match=reason):
            parse_call(name, arguments)


def test_every_tool_describes_every_argument() -> None:
    assert [spec.name for spec in specs_of(["memory_insert", "unknown"])] == ["memory_insert"]
    for name, spec in SPECS.items():
        assert spec.description, name
        for argument, schema in spec.parameters["properties"].items():
            assert schema.get("description"), f"{name}.{argument}"
