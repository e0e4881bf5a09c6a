"""What was found out about this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "note", "weak", "missing"]
"""`weak`: a bound that there should be is not here. `missing`: nothing starts without it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found out about this machine."""

    level: Level
    subject: str
    message: str
    remedy: str = ""
