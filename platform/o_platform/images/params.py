"""A genome's parameters: `[params.NAME]` tables of `genome.toml`, each with its own bounds.

A number needs `value`, `min` and `max`; a text needs `value` and may list its `choices`; a truth
value needs `value` alone. `description` may be given for each. Other tables of the file belong to
the code that runs the genome and are not judged here.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

from o_platform.errors import BuildError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KEYS: Final = frozenset({"value", "min", "max", "choices", "description"})


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter and what it may be; bounds are inclusive, None where there are none."""

    value: bool | int | float | str
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[str, ...] = ()


def parse_params(data: bytes, file: str) -> dict[str, Param]:
    """The parameters in a `genome.toml`; `file` names it in errors.

    Raises:
        BuildError: invalid TOML, or a parameter that is malformed or out of its bounds.
    """
    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BuildError(f"{file}: invalid TOML: {error}", file=file) from error
    tables = document.get("params", {})
    if not isinstance(tables, dict):
        raise BuildError(f"{file}: `params` is a table of tables: [params.NAME]", file=file)
    return {name: _parse(f"{file}: params.{name}", name, table) for name, table in tables.items()}


def _parse(where: str, name: str, table: Any) -> Param:
    if not _NAME.fullmatch(name):
        raise BuildError(f"{where}: name it with lower-case letters, digits and `_`")
    if not isinstance(table, dict) or "value" not in table:
        raise BuildError(f"{where}: write it as a table with `value = …`")
    if unknown := sorted(set(table) - _KEYS):
        raise BuildError(f"{where}: unknown key `{unknown[0]}`; known: {', '.join(sorted(_KEYS))}")
    match table["value"]:
        case bool() as value:
            return Param(value)
        case int() | float() as number:
            return _number(where, number, table)
        case str() as text:
            return _text(where, text, table)
        case other:
            raise BuildError(f"{where}: a {type(other).__name__} cannot be a parameter's value")


def _number(where: str, value: int | float, table: dict[str, Any]) -> Param:
    low, high = _bound(where, table, "min"), _bound(where, table, "max")
    if not (math.isfinite(value) and low <= value <= high):
        raise BuildError(f"{where}: {value} is outside [{low}, {high}]", value=value)
    return Param(value, low, high)


def _bound(where: str, table: dict[str, Any], key: str) -> int | float:
    bound = table.get(key)
    if not isinstance(bound, int | float) or isinstance(bound, bool) or not math.isfinite(bound):
        raise BuildError(f"{where}: a number needs `min` and `max`, both finite numbers")
    return bound


def _text(where: str, value: str, table: dict[str, Any]) -> Param:
    choices = table.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise BuildError(f"{where}: `choices` is a list of texts")
    if choices and value not in choices:
        raise BuildError(f"{where}: {value!r} is none of {choices}", value=value)
    return Param(value, choices=tuple(choices))
