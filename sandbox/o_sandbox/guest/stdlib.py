"""Imports the whole standard library that this CPython has.

Only what is imported while the component is made exists in it, modules that other modules import
late included. What cannot be imported (no sockets, no processes, no native libraries here) gets a
stand-in where popular code imports it at the top without using it.
"""

import importlib
import pkgutil
import sys
import types

_NEVER = {
    "antigravity", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "this", "tkinter",
    "turtle", "turtledemo", "venv", "__phello__", "__hello__", "pdb", "bdb", "pty", "tty",
    "curses", "dbm", "_pyrepl", "msilib", "nt", "crypt", "multiprocessing", "_ios_support",
    "_android_support", "_aix_support", "_osx_support", "_apple_support", "webbrowser", "pydoc",
    "distutils", "xmlrpc", "wsgiref",
}  # fmt: skip
_STAND_INS = ("bz2", "lzma", "ctypes", "mmap", "fcntl", "resource", "termios", "ssl", "_ctypes")
_NEEDED_LATE = ("_strptime", "encodings.idna", "encodings.utf_8_sig", "encodings.latin_1")


def import_all():
    """Import every module; the names of those that fail."""
    failed = {}
    for name in sorted({*sys.stdlib_module_names, *_NEEDED_LATE}):
        if name.split(".")[0] not in _NEVER:
            _import_tree(name, failed)
    for name in _STAND_INS:
        if name not in sys.modules:
            sys.modules[name] = _stand_in(name)
    return failed


def _import_tree(name, failed):
    try:
        module = importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - a module may do anything when it is imported
        failed[name] = f"{type(error).__name__}: {error}"
        return
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), name + "."):
        below = found.name.rsplit(".", 1)[1]
        if below not in ("__main__", "tests", "test", "windows_events", "windows_utils"):
            _import_tree(found.name, failed)


def _stand_in(name):
    module = types.ModuleType(name, f"{name} is not available in this sandbox.")

    def missing(attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise NotImplementedError(f"{name}.{attribute} is not available in this sandbox")

    module.__getattr__ = missing
    return module
