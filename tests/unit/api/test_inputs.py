"""Every text that a body may hold can be kept by PostgreSQL, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

import o_platform.api.app  # noqa: F401 — defines every body
from o_platform.api.fields import Input

pytestmark = pytest.mark.unit

UNSTORABLE = ("a\0", "a\ud800")


def inputs(parent: type[Input] = Input) -> Iterator[type[Input]]:
    for child in parent.__subclasses__():
        yield child
        yield from inputs(child)


@pytest.mark.parametrize("body", list(inputs()), ids=lambda body: body.__name__)
def test_no_field_takes_what_cannot_be_stored(body: type[Input]) -> None:
    for name, field in body.model_fields.items():
        kind = TypeAdapter(Annotated[(field.annotation, *field.metadata, name)])
        for text in UNSTORABLE:
            assert not [shape for shape in shapes(text) if takes(kind, shape)], name


def shapes(text: str) -> list[Any]:
    return [text, [text], {"a": text}, {text: 1}]


def takes(kind: TypeAdapter[Any], value: Any) -> bool:
    """Whether it is taken and kept; unknown fields are left out."""
    try:
        kept = kind.validate_python(value)
    except ValidationError:
        return False
    return any(repr(text)[1:-1] in repr(kept) for text in UNSTORABLE)
