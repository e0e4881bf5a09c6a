"""One call of a tool: run its code, call its function, say what came of it."""

import binascii
import dataclasses
import datetime
import decimal
import enum
import inspect
import io
import json
import linecache
import marshal
import pathlib
import random
import sys
import traceback
import types
import uuid
import warnings

EMIT = None
"""Sends a piece of output to the host."""

_LIVE_LINES = 64
_PIECE = 4096
_MESSAGE_CHARS = 4096
_TRACEBACK_CHARS = 16384

_MISSING_MODULE = (
    "A tool of this tier finds the standard library, jinja2, yaml, dateutil and part of pydantic; "
    "it reaches the network by `o.http.fetch`. Native packages need the tier `container`."
)

_loads, _dumps, _compile, _exec, _isawaitable = (
    json.JSONDecoder().raw_decode, json.dumps, compile, exec, inspect.isawaitable
)  # fmt: skip
_unmarshal, _unpack = marshal.loads, binascii.a2b_base64
_seed = random.seed


class _Stream(io.TextIOBase):
    """Sends the first lines at once, for those who watch, and the rest in larger pieces."""

    encoding = "utf-8"

    def __init__(self, channel):
        self._channel, self._held, self._chars, self._live = channel, [], 0, _LIVE_LINES

    def writable(self):
        return True

    def write(self, text):
        self._held.append(text)
        self._chars += len(text)
        if self._chars >= _PIECE:
            self.flush()
        elif self._live and "\n" in text:
            self._live -= 1
            self.flush()
        return len(text)

    def flush(self):
        if self._held:
            text, self._held, self._chars = "".join(self._held), [], 0
            EMIT(self._channel, text.encode("utf-8", "replace").decode())


def flush():
    """Send what is still held back."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _Stream):
            stream.flush()


def plain(value):
    """The JSON-ready form of what `json` cannot write.

    Raises:
        TypeError: there is none.
    """
    if hasattr(type(value), "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset, types.GeneratorType)):
        return list(value)
    if isinstance(value, types.MappingProxyType):
        return dict(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID, pathlib.PurePath)):
        return str(value)
    raise TypeError(f"a tool must return JSON-ready values; {type(value).__name__} is not one")


_pieces = json.encoder.c_make_encoder(
    {}, plain, json.encoder.encode_basestring, None, ": ", ", ", False, False, False
)
"""What `JSONEncoder(default=plain, ensure_ascii=False, allow_nan=False)` makes for each value."""
_PLAIN = frozenset((dict, list, str, int, float, bool, type(None)))


def open_streams():
    """Give the interpreter an output of which nothing was used."""
    sys.stdout, sys.stderr = _Stream("stdout"), _Stream("stderr")


def answer(text):
    """Serve one request; the reply as JSON text."""
    asked, _ = _loads(text)
    random.seed = _seed
    _seed(int(asked["seed"], 16))
    sys.path[:0] = asked["path"]
    filename = asked["name"] + ".py"
    try:
        value = _called(asked, filename)
        reply = "".join(_pieces({"ok": value}, 0))
        reply.encode()
    except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its answer
        reply = _dumps({"error": _described(error, filename, asked["code"])})
    flush()
    return reply


def leave_seeding_to_calls():
    """Until the first call nothing seeds `random`, as componentize-py would: each call does.

    That takes 2 496 bytes from the host, a tenth of the time in which an instance is made.
    """
    random.seed = _seeded_by_the_call


def _seeded_by_the_call(*_):
    return None


def compiled(name, code):
    """A tool's bytecode as base64; empty if its source has an error or a warning in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = _compile(code, name + ".py", "exec", 0, True)
    except BaseException:  # noqa: BLE001 - the call itself will say what is wrong
        return ""
    return binascii.b2a_base64(marshal.dumps(made), newline=False).decode()


def rehearse(run, text, code, compiled=""):
    """Have a request that nobody made answered by `run`, with this code in it.

    Leaves nothing of that behind.
    """
    asked, _ = _loads(text)
    asked["code"], asked["compiled"] = code, compiled
    reply = run(_dumps(asked))
    del sys.modules["tool_" + asked["name"]]
    linecache.cache.pop(asked["name"] + ".py", None)
    return reply


def _called(asked, filename):
    module = types.ModuleType("tool_" + asked["name"])
    module.__file__ = filename
    sys.modules[module.__name__] = module
    code = _unmarshal(_unpack(made)) if (made := asked["compiled"]) else (
        _compile(asked["code"], filename, "exec", 0, True)
    )  # fmt: skip
    _exec(code, module.__dict__)
    function = getattr(module, asked["function"], None)
    if function is None:
        raise NameError(f"the tool's code defines no function `{asked['function']}`")
    value = function(**asked["args"])
    return value if type(value) in _PLAIN or not _isawaitable(value) else _awaited(value)


def _awaited(value):
    import asyncio

    async def wait():
        return await value

    return asyncio.run(wait())


def _described(error, filename, code):
    linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
    kind = type(error).__name__
    try:
        frames = traceback.extract_tb(error.__traceback__)
        if kind == "ModuleNotFoundError":
            error.add_note(_MISSING_MODULE)
        own = next((at for at, each in enumerate(frames) if each.filename == filename), len(frames))
        lines = traceback.format_list(frames[own:]) + traceback.format_exception_only(error)
        text = "Traceback (most recent call last):\n" + "".join(lines)
        return {"type": kind, "message": str(error)[:_MESSAGE_CHARS],
                "traceback": text[-_TRACEBACK_CHARS:]}  # fmt: skip
    except BaseException:  # noqa: BLE001 - an exception may have any `__str__`, or memory is out
        return {"type": kind, "message": "", "traceback": ""}
