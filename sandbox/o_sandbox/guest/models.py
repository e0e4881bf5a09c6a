"""A stand-in for pydantic, which is no pure Python: models as arguments and results of tools.

Fields with hints, defaults and bounds, nested models, validators, `model_validate`, `model_dump`
and their JSON forms do what pydantic's do in its lax mode; the tests hold the two against each
other. What is not here is refused by name when it is imported, never half done. The host has
checked a call's arguments already, so this may take its time.
"""

import annotationlib
import json
import sys
import types
import typing

from conversions import ValidationError, Wrong, bounded, converted, dumped, refused, wrong

_MISSING = object()
_OFFERED = (
    "BaseModel", "ConfigDict", "Field", "ValidationError", "field_validator", "model_validator",
)  # fmt: skip
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


_WITHOUT_EFFECT = (
    "arbitrary_types_allowed", "json_schema_extra", "populate_by_name", "protected_namespaces",
    "title", "use_attribute_docstrings",
)  # fmt: skip
"""Options of models that change nothing here: what they allow is allowed anyhow."""


def _require_known(what, options, known):
    if unknown := sorted(set(options) - known):
        raise TypeError(
            f"{what}: the stand-in for pydantic in this sandbox has no {', '.join(unknown)}; "
            "leave it out, or check it by a validator"
        )


class FieldInfo:
    """What `Field` says of a field."""

    def __init__(self, default, default_factory, description, alias, bounds):
        self.default, self.default_factory = default, default_factory
        self.description, self.alias, self.bounds = description, alias, bounds
        self.annotation = None

    def is_required(self):
        return self.default is _MISSING and self.default_factory is None

    def get_default(self):
        return self.default_factory() if self.default_factory else _copied(self.default)


def Field(
    default=_MISSING,
    *,
    default_factory=None,
    description=None,
    alias=None,
    title=None,
    examples=None,
    **more,
):
    """A field's default, bounds and description."""
    _require_known("Field", more, {*_BOUNDS, "json_schema_extra", "repr"})
    bounds = {name: more[name] for name in _BOUNDS if more.get(name) is not None}
    default = _MISSING if default is ... else default
    return FieldInfo(default, default_factory, description, alias, bounds)


def _copied(value):
    return type(value)(value) if type(value) in (list, dict, set) else value


def field_validator(*names, mode="after"):
    """Check or change fields, before or after their types are."""
    return _marking("_o_fields", (names, _known_mode(mode)))


def model_validator(*, mode):
    """Check or change a model as a whole."""
    return _marking("_o_model", _known_mode(mode))


def _known_mode(mode):
    if mode not in ("before", "after"):
        raise TypeError(f"validators of mode {mode!r} are not available in this sandbox")
    return mode


def _marking(attribute, value):
    def mark(function):
        setattr(getattr(function, "__func__", function), attribute, value)
        return function

    return mark


def ConfigDict(**options):
    """A model's `model_config`; of its options `extra` and `frozen` count."""
    _require_known("ConfigDict", options, {"extra", "frozen", *_WITHOUT_EFFECT})
    return options


class BaseModel:
    """Named values with types; see pydantic."""

    __slots__ = ("__dict__", "_o_given")
    model_config = {}
    model_fields = {}

    def __init__(self, /, **data):
        cls = type(self)
        try:
            values, given = _values(cls, data)
            object.__setattr__(self, "__dict__", values)
            object.__setattr__(self, "_o_given", given)
            for check in _marked(cls, "_o_model", "after"):
                check(self)
        except Wrong as unfit:
            raise ValidationError(cls.__name__, unfit.errors) from None
        except (ValueError, AssertionError) as error:
            raise ValidationError(cls.__name__, [refused(error)]) from None

    def __init_subclass__(cls, **options):
        super().__init_subclass__()
        cls.model_config = ConfigDict(
            **{**cls.model_config, **cls.__dict__.get("model_config", {}), **options}
        )
        fields = dict(cls.model_fields)
        for name in annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF):
            if name.startswith("_") or name == "model_config":
                continue
            default = cls.__dict__.get(name, _MISSING)
            info = default if isinstance(default, FieldInfo) else Field(default)
            fields[name] = info
            if name in cls.__dict__:
                delattr(cls, name)
        cls.model_fields = fields

    @property
    def model_fields_set(self):
        """The names of fields that were given."""
        return self._o_given

    def __setattr__(self, name, value):
        if name not in type(self).model_fields:
            raise ValueError(f'"{type(self).__name__}" object has no field "{name}"')
        if self.model_config.get("frozen"):
            raise ValidationError(type(self).__name__, [wrong((name,), "Instance is frozen")])
        self.__dict__[name] = value
        self.model_fields_set.add(name)

    def __eq__(self, other):
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self):
        if not self.model_config.get("frozen"):
            raise TypeError(f"unhashable type: {type(self).__name__!r}")
        return hash((type(self), *self.__dict__.values()))

    def __iter__(self):
        return iter(self.__dict__.items())

    def __repr__(self):
        said = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({said})"

    @classmethod
    def model_validate(cls, obj):
        """The model that an object (or a model) is."""
        try:
            return converted(cls, obj)
        except Wrong as unfit:
            raise ValidationError(cls.__name__, unfit.errors) from None

    @classmethod
    def model_validate_json(cls, json_data):
        """The model that a JSON text is."""
        return cls.model_validate(json.loads(json_data))

    def model_dump(
        self,
        *,
        mode="python",
        exclude_none=False,
        exclude_unset=False,
        exclude_defaults=False,
        by_alias=False,
        include=None,
        exclude=None,
    ):
        """Its values as a dict, models in them too; `mode="json"` makes all of them JSON."""
        shown = {}
        for name, value in self.__dict__.items():
            info = type(self).model_fields.get(name)
            if (
                (exclude_none and value is None)
                or (exclude_unset and name not in self.model_fields_set)
                or (
                    exclude_defaults
                    and info
                    and not info.is_required()
                    and value == info.get_default()
                )
                or (include is not None and name not in include)
                or (exclude is not None and name in exclude)
            ):
                continue
            key = info.alias if by_alias and info and info.alias else name
            shown[key] = dumped(
                value,
                mode,
                {
                    "exclude_none": exclude_none,
                    "by_alias": by_alias,
                    "exclude_unset": exclude_unset,
                    "exclude_defaults": exclude_defaults,
                },
            )
        return shown

    def model_dump_json(self, *, indent=None, **options):
        """Its values as JSON text."""
        separators = None if indent else (",", ":")
        shown = self.model_dump(mode="json", **options)
        return json.dumps(shown, indent=indent, separators=separators, ensure_ascii=False)

    def model_copy(self, *, update=None):
        """The same with some values changed; these are not checked."""
        made = object.__new__(type(self))
        object.__setattr__(made, "__dict__", {**self.__dict__, **(update or {})})
        object.__setattr__(made, "_o_given", {*self.model_fields_set, *(update or {})})
        return made

    dict = model_dump
    json = model_dump_json
    parse_obj = model_validate


def _marked(cls, attribute, mode):
    """The validators of a class and of those it comes from, ready to be called."""
    found = {}
    for each in reversed(cls.__mro__):
        for name, member in vars(each).items():
            if hasattr(getattr(member, "__func__", member), attribute):
                found[name] = member
    for name, member in found.items():
        marked = getattr(getattr(member, "__func__", member), attribute)
        if (marked if attribute == "_o_model" else marked[1]) == mode:
            is_of_model = attribute == "_o_model" and mode == "after"
            is_plain = isinstance(member, types.FunctionType) and not is_of_model
            yield types.MethodType(member, cls) if is_plain else getattr(cls, name)


def _values(cls, data):
    """The values of a model's fields, and which of them were given."""
    for check in _marked(cls, "_o_model", "before"):
        data = check(data)
    hints = typing.get_type_hints(cls, include_extras=True)
    values, given, errors, left = {}, set(), [], dict(data)
    for name, info in cls.model_fields.items():
        key = info.alias if info.alias and info.alias in left else name
        if key not in left:
            if info.is_required():
                errors.append(wrong((info.alias or name,), "Field required", "missing", data))
            else:
                values[name] = info.get_default()
            continue
        given.add(name)
        try:
            values[name] = _field(cls, name, left.pop(key), hints[name], info)
        except Wrong as unfit:
            errors += [{**each, "loc": (key, *each["loc"])} for each in unfit.errors]
        except (ValueError, AssertionError) as error:
            errors.append({**refused(error), "loc": (key,)})
    extra = cls.model_config.get("extra", "ignore")
    if extra == "forbid":
        errors += [
            wrong((key,), "Extra inputs are not permitted", "extra_forbidden") for key in left
        ]
    if errors:
        raise Wrong(errors)
    return ({**values, **left}, given | left.keys()) if extra == "allow" else (values, given)


def _field(cls, name, value, hint, info):
    for check in _validators(cls, name, "before"):
        value = check(value)
    value = bounded(converted(hint, value), info.bounds)
    for check in _validators(cls, name, "after"):
        value = check(value)
    return value


def _validators(cls, name, mode):
    for check in _marked(cls, "_o_fields", mode):
        if {name, "*"} & set(getattr(check, "__func__", check)._o_fields[0]):
            yield check


def furnish():
    """Make it what `import pydantic` finds."""
    module = types.ModuleType("pydantic", __doc__)
    for name in _OFFERED:
        setattr(module, name, globals()[name])

    def missing(name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(
            f"pydantic is a small stand-in in this sandbox and has no {name}; "
            f"it has {', '.join(_OFFERED)}"
        )

    module.__getattr__ = missing
    sys.modules["pydantic"] = module
