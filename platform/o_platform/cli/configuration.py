"""Settings for commands: read from the environment, with errors that name the variable."""

from __future__ import annotations

import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from o_platform.errors import SetupError
from o_platform.settings import Settings


def load_settings() -> Settings:
    """The settings of this environment.

    Raises:
        SetupError: a variable has a value that cannot be used; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(problem['loc'])}: {problem['msg']}{_got(problem)}"
            for problem in error.errors(include_url=False)
        )
        raise SetupError(f"the environment has values that cannot be used: {problems}") from error
    except SettingsError as error:
        raise SetupError(f"{_not_json(error)}; see the settings guide") from error


def _got(problem: ErrorDetails) -> str:
    """The value, unless it is a URL that may hold a password."""
    name = _variable(problem["loc"])
    return "" if name == "DATABASE_URL" else f" (got {problem['input']!r})"


def _not_json(error: SettingsError) -> str:
    field = re.search(r'field "(\w+)"', str(error))
    return f"{_variable((field[1],))} is not JSON" if field else str(error)


def _variable(location: tuple[int | str, ...]) -> str:
    name = "__".join(str(part) for part in location).upper()
    return "DATABASE_URL" if name.endswith("DATABASE_URL") else f"O_{name}"
