"""Every setting is explained to operators."""

from __future__ import annotations

from pathlib import Path

import pytest

from o_platform.settings import Limits, Settings

pytestmark = pytest.mark.unit

GUIDE = Path(__file__).parents[2] / "platform" / "docs" / "settings.md"


def test_every_setting_is_in_the_guide() -> None:
    text = GUIDE.read_text()
    names = [f"O_{name.upper()}" for name in Settings.model_fields if name != "database_url"]
    names += [f"O_LIMITS__{name.upper()}" for name in Limits.model_fields]
    missing = [name for name in [*names, "DATABASE_URL"] if f"`{name}`" not in text]
    assert not missing, f"platform/docs/settings.md does not explain {', '.join(missing)}"
