"""What `import` gives a guest: views with chosen names of a few modules, never a module.

Left out are names that call what they are given with attributes of their own choice
(`operator.attrgetter`, `string.Formatter`), that evaluate text (`typing`), that keep state for
the next call (`random`, `decimal.getcontext`), or that read a clock.
"""

from __future__ import annotations

import base64
import collections
import datetime
import decimal
import functools
import hashlib
import html
import itertools
import json
import math
import random
import re
import statistics
import string
import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

from o_sandbox.worker.decorators import DECORATORS


class Facade:
    """A read-only set of names that stands for a module."""

    __slots__ = ("_module", "_names")

    def __init__(self, module: str, names: Mapping[str, Any]) -> None:
        """`names` is what the guest may use of `module`."""
        object.__setattr__(self, "_module", module)
        object.__setattr__(self, "_names", MappingProxyType(dict(names)))

    def __getattr__(self, name: str) -> Any:
        """One of the names.

        Raises:
            AttributeError: any other.
        """
        names: Mapping[str, Any] = object.__getattribute__(self, "_names")
        if name not in names:
            module = object.__getattribute__(self, "_module")
            raise AttributeError(f"{module}.{name} is not offered in the tier `restricted`")
        return names[name]

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        """Never.

        Raises:
            AttributeError: always.
        """
        raise AttributeError("a module cannot be changed in the tier `restricted`")

    def __repr__(self) -> str:
        """Its name, without an address."""
        return f"<module {object.__getattribute__(self, '_module')}>"


class Inert:
    """Stands for what only annotations use; subscribing it and calling it change nothing."""

    __slots__ = ()

    def __getitem__(self, _: Any) -> Inert:
        """Itself."""
        return self

    def __call__(self, *_: Any, **__: Any) -> Inert:
        """Itself."""
        return self

    def __mro_entries__(self, _: Any) -> tuple[type, ...]:
        """Nothing: a class may name it as its base."""
        return ()


def _loads(text: str | bytes) -> Any:
    return json.loads(text)


def _dumps(value: Any, indent: int | None = None, sort_keys: bool = False) -> str:
    return json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False)


def _pick(module: Any, names: str) -> Facade:
    return Facade(module.__name__, {name: getattr(module, name) for name in names.split()})


_TYPING: Final = (
    "Annotated Any Callable ClassVar Dict Final Iterable Iterator List Literal Mapping NamedTuple "
    "NotRequired Optional Required Sequence Set Tuple Type TypeAlias TypeVar TypedDict Union"
)
FACADES: Final[Mapping[str, Facade]] = MappingProxyType(
    {
        "__future__": Facade("__future__", {"annotations": None}),
        "base64": _pick(base64, "b64encode b64decode urlsafe_b64encode urlsafe_b64decode"),
        "collections": _pick(collections, "Counter OrderedDict defaultdict deque"),
        "datetime": _pick(datetime, "date datetime time timedelta timezone"),
        "decimal": _pick(decimal, "Decimal ROUND_DOWN ROUND_HALF_EVEN ROUND_HALF_UP ROUND_UP"),
        "functools": _pick(functools, "reduce"),
        "hashlib": _pick(hashlib, "blake2b md5 sha1 sha256 sha512"),
        "html": _pick(html, "escape unescape"),
        "itertools": _pick(
            itertools,
            "accumulate chain combinations count cycle groupby islice permutations product repeat "
            "starmap takewhile dropwhile zip_longest",
        ),
        "json": Facade("json", {"loads": _loads, "dumps": _dumps}),
        "math": _pick(math, " ".join(name for name in dir(math) if not name.startswith("_"))),
        "o_agent.sdk": Facade("o_agent.sdk", DECORATORS),
        "re": _pick(
            re, "DOTALL IGNORECASE MULTILINE compile escape findall finditer fullmatch match "
            "search split sub subn",
        ),
        "statistics": _pick(
            statistics, "fmean mean median median_high median_low mode pstdev quantiles stdev "
            "variance",
        ),
        "string": _pick(
            string, "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits punctuation "
            "whitespace",
        ),
        "textwrap": _pick(textwrap, "dedent fill indent shorten wrap"),
        "typing": Facade("typing", dict.fromkeys(_TYPING.split(), Inert())),
    }
)  # fmt: skip
"""Every module a guest may import, except `o` and `random`, which each call has its own of."""


def random_facade(seed: int) -> Facade:
    """`random` with a state of its own, so that a call can be repeated and none sees another's."""
    generator = random.Random(seed)  # noqa: S311 - repeatable on purpose
    names = "choice choices gauss randint random randrange sample shuffle triangular uniform"
    return Facade("random", {name: getattr(generator, name) for name in names.split()})
