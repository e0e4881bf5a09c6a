"""Pure-Python packages of a folder that an engine may read, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from o_sandbox.cache import default_folder
from o_sandbox.engine.settings import EngineSettings
from o_sandbox.limits import Limits
from o_sandbox.tool import Tool
from o_sandbox.wasm import WasmSandbox

pytestmark = pytest.mark.contract
CODE = """
import importlib.resources
import os
import shop
from shop.prices import PRICES

def f(outside):
    refused = []
    for path, mode in (("/packages/linked.txt", "r"), ("/packages/../" + outside, "r"),
                       (outside, "r"), ("/packages/shop/new", "w")):
        try:
            open(path, mode).close()
        except OSError as error:
            refused.append(type(error).__name__)
    text = importlib.resources.files("shop").joinpath("data.txt").read_text()
    shop.seen.append(1)
    return [PRICES["tea"], text, len(shop.seen), refused, sorted(os.listdir("/packages"))]
"""


async def test_packages_are_imported_and_nothing_else_is_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    packages = tmp_path / "packages"
    (packages / "shop").mkdir(parents=True)
    (packages / "shop" / "__init__.py").write_text("seen = []\n")
    (packages / "shop" / "prices.py").write_text("PRICES = {'tea': 3}\n")
    (packages / "shop" / "data.txt").write_text("grüße")
    (packages / "linked.txt").symlink_to(outside)
    sandbox = WasmSandbox(EngineSettings(cache=str(default_folder()), packages=str(packages)))
    await sandbox.start()
    try:
        for _ in range(2):
            outcome = await sandbox.run(Tool("f", CODE), {"outside": str(outside)}, Limits(), {})
            assert outcome.is_ok, outcome
            price, text, seen, refused, listed = outcome.value
            assert (price, text, seen, listed) == (3, "grüße", 1, ["linked.txt", "shop"])
            assert len(refused) == 4
    finally:
        await sandbox.close()
    assert sorted(path.name for path in packages.rglob("*")) == [
        "__init__.py", "data.txt", "linked.txt", "prices.py", "shop",
    ]  # fmt: skip
