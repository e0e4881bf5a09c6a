"""Pydantic models in tools: the stand-in of the tier `wasm` does what pydantic itself does here."""

from __future__ import annotations

import sys
import textwrap
from types import ModuleType
from typing import Any

import msgspec
import pytest

from o_sandbox.authoring import describe_function
from o_sandbox.keeper import EngineKeeper
from o_sandbox.limits import Limits
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox

pytestmark = pytest.mark.contract
SOURCE = '''
import datetime
import decimal
import enum
import uuid
from typing import Annotated, Any, Dict, List, Literal, Optional, Union

from pydantic import (
    BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator,
)


class Color(str, enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    """What is ordered."""

    name: str = Field(..., min_length=2, description="what it is called")
    quantity: int = Field(1, ge=1, le=9)
    color: Color = Color.RED
    tags: List[str] = []
    notes: Dict[str, int] = Field(default_factory=dict)
    when: Optional[datetime.date] = None


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: List[Item]
    mode: Literal["fast", "slow"] = "fast"
    price: Union[int, str, None] = None
    more: Annotated[float, Field(gt=0)] = 1
    id_: Optional[uuid.UUID] = Field(None, alias="id")
    pair: tuple[int, str] = (1, "a")
    weight: decimal.Decimal = decimal.Decimal("1.5")

    @field_validator("mode", mode="before")
    @classmethod
    def lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("items")
    def some(cls, value: List[Item]) -> List[Item]:
        if not value:
            raise ValueError("order something")
        return value

    @model_validator(mode="after")
    def sound(self) -> "Order":
        assert self.mode != "slow" or len(self.items) < 2, "too much to be slow"
        return self


class Loose(Order):
    model_config = ConfigDict(extra="allow", frozen=True)
    deep: Optional["Loose"] = None


CASES = [
    {"items": [{"name": "tea"}]},
    {"items": [{"name": "tea", "quantity": "3", "color": "blue", "when": "2026-01-31"}]},
    {"items": [{"name": "tea", "notes": {"a": "5"}, "tags": ["x"]}], "mode": "FAST", "price": "7"},
    {"items": [{"name": "tea"}], "id": "12345678-1234-5678-1234-567812345678", "pair": ["2", "b"]},
    {"items": [{"name": "tea", "unknown": 1}], "more": "2.5", "weight": "0.25"},
    {"items": []},
    {"items": [{"name": "t"}]},
    {"items": [{"quantity": 0, "color": "green"}, {"name": 5}], "mode": "never"},
    {"items": [{"name": "tea", "quantity": 10, "when": "soon"}], "more": 0},
    {"items": [{"name": "tea", "tags": "no list", "quantity": 1.5}]},
    {"items": [{"name": "a1"}, {"name": "b2"}], "mode": "slow"},
    {"items": "tea", "pair": [1], "price": []},
    {"items": [{"name": "tea"}], "surplus": True},
    {},
]


def made(kind, data):
    try:
        model = kind.model_validate(data)
    except ValidationError as error:
        return sorted([str(part) for part in each["loc"]] for each in error.errors())
    again = kind.model_validate_json(model.model_dump_json(by_alias=True))
    return [
        model.model_dump(mode="json"), model.model_dump(mode="json", exclude_unset=True),
        model.model_dump(mode="json", exclude_defaults=True, by_alias=True),
        sorted(model.model_fields_set), again == model, repr(model.items),
        model.model_copy(update={"price": 3}).price,
    ]


def compare():
    """Make everything."""
    found = [made(kind, data) for kind in (Order, Loose) for data in CASES]
    loose = Loose(items=[Item(name="tea")], deep={"items": [{"name": "cup"}], "else": 1}, own=2)
    order = Order.model_validate(CASES[0])
    order.price = 4
    refused = []
    for change in (lambda: setattr(order, "nothing", 1), lambda: setattr(loose, "price", 1)):
        try:
            change()
        except ValueError as error:
            refused.append(type(error).__name__)
    return [found, loose.model_dump(mode="json"), loose.own, refused, order.model_dump(mode="json"),
            order == Order.model_validate(CASES[0])]


def ship(order: Order, extra: Optional[Item] = None) -> Item:
    """Ship an order.

    Args:
        order: what to ship
        extra: what to add
    """
    assert isinstance(order.items[0], Item) and (extra is None or isinstance(extra, Item))
    return order.items[0].model_copy(update={"quantity": len(order.items)})
'''


@pytest.fixture
async def sandbox(engine: EngineKeeper) -> Any:
    sandbox = WasmSandbox(paths=[engine.path])
    await sandbox.start()
    yield sandbox
    await sandbox.close()


async def run(sandbox: WasmSandbox, name: str, source: str, **arguments: Any) -> Any:
    outcome = await sandbox.run(Tool(name, source), arguments, Limits(), {})
    assert outcome.is_ok, outcome.error
    return outcome.value


async def test_models_do_what_those_of_pydantic_do(
    sandbox: WasmSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ModuleType("o_models_here")
    monkeypatch.setitem(sys.modules, here.__name__, here)
    exec(compile(SOURCE, "here.py", "exec", dont_inherit=True), vars(here))  # noqa: S102 - as above
    wanted = msgspec.to_builtins(here.compare())
    found = await run(sandbox, "compare", SOURCE)
    for place, (own, theirs) in enumerate(zip(found[0], wanted[0], strict=True)):
        assert own == theirs, place
    assert found[1:] == wanted[1:]


async def test_models_are_arguments_and_results(sandbox: WasmSandbox) -> None:
    definition = describe_function(SOURCE, "ship")
    order = {"items": [{"name": "tea"}, {"name": "cup"}]}
    arguments = definition.checked(msgspec.json.encode({"order": order, "extra": None}))
    tool = Tool("ship", definition.code(SOURCE), definition.entry)
    outcome = await sandbox.run(tool, arguments, Limits(), {})
    assert outcome.is_ok, outcome.error
    assert (outcome.value["name"], outcome.value["quantity"]) == ("tea", 2)


async def test_what_is_missing_is_said(sandbox: WasmSandbox) -> None:
    for imports, said in (
        ("from pydantic import TypeAdapter", "has no TypeAdapter; it has BaseModel"),
        ("import pydantic\npydantic.Field(strict=True)", "Field: the stand-in for pydantic"),
        (
            "import pydantic\nclass M(pydantic.BaseModel):\n"
            "    model_config = {'str_strip_whitespace': True}",
            "has no str_strip_whitespace; leave it out",
        ),
        ("import requests", "it reaches the network by `o.http.fetch`"),
    ):
        source = textwrap.dedent(f"{imports}\ndef f():\n    return 1")
        outcome = await sandbox.run(Tool("f", source), {}, Limits(), {})
        assert (outcome.reason, said in outcome.error) == ("error", True), outcome.error
