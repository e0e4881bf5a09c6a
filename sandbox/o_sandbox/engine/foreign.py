"""Foreign modules, compiled in the engine: the recent ones are kept, and none holds up the others.

A module is compiled on a thread of its own, one at a time. A caller waits for it as long as its
call may take; a compilation that does not end at all ends the engine, whose keeper starts another.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Final

import wasmtime
from wasmtime import component

from o_sandbox.engine.call import Call
from o_sandbox.tool import Language

KEPT: Final = 16
PATIENCE_S: Final = 60.0
_CHARS: Final = 1000
Compiled = wasmtime.Module | component.Component
log = logging.getLogger("o_sandbox.engine")


class InvalidModuleError(Exception):
    """What was given cannot be compiled; the message says why."""


class ForeignModules:
    """Compiles what calls bring along."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        """`engine` compiles, and runs what it compiled."""
        self._engine = engine
        self._jobs: OrderedDict[bytes, Future[Compiled]] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def compiled(self, call: Call) -> Compiled:
        """The compiled form of a call's code.

        Raises:
            InvalidModuleError: it is not valid.
            TimeoutError: it is not ready within the call's wall time.
        """
        job = self._job(call.run.language, call.run.code)
        return job.result(timeout=max(0.0, call.meter.wall_left_s))

    def _job(self, language: Language, code: bytes) -> Future[Compiled]:
        key = hashlib.sha256(language.encode() + b"\0" + code).digest()
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                job = self._jobs[key] = Future()
                threading.Thread(
                    target=self._compile, args=(language, code, job), daemon=True
                ).start()
            self._jobs.move_to_end(key)
            while len(self._jobs) > KEPT:
                self._jobs.popitem(last=False)
        return job

    def _compile(self, language: Language, code: bytes, job: Future[Compiled]) -> None:
        with self._turn:
            watch = threading.Timer(PATIENCE_S, _give_up)
            watch.daemon = True
            watch.start()
            try:
                job.set_result(_translated(self._engine, language, code))
            except (wasmtime.WasmtimeError, UnicodeError) as error:
                job.set_exception(
                    InvalidModuleError(f"the module is not valid: {str(error)[:_CHARS]}")
                )
            except BaseException as error:  # noqa: BLE001 - whoever waits for it raises it
                job.set_exception(error)
            finally:
                watch.cancel()


def _translated(engine: wasmtime.Engine, language: Language, code: bytes) -> Compiled:
    is_text = not code.startswith(b"\0asm")
    source: str | bytes = code.decode() if is_text else code
    if language == "component":
        return component.Component(engine, source)
    return wasmtime.Module(engine, source)


def _give_up() -> None:
    log.error("a module is not compiled after %g s; the engine ends", PATIENCE_S)
    os._exit(3)
