"""Answers that are encoded here, and not checked against their schema again."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Response
from pydantic import BaseModel


def json_answer(value: Any) -> Response:
    """The value as JSON; what is encoded already goes in as `msgspec.Raw`."""
    return encoded(msgspec.json.encode(value))


def encoded(body: bytes) -> Response:
    """JSON that is encoded already."""
    return Response(body, media_type="application/json")


def defaults_of(schema: type[BaseModel]) -> dict[str, Any]:
    """The fields that have the same value in every answer, unless one is given."""
    fields = schema.model_fields.items()
    return {name: field.get_default() for name, field in fields if not field.is_required()}
