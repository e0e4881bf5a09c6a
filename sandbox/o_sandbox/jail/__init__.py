"""Confines a process of this package before it sees foreign code: `enter`, and `kernel_layers`.

Written with ctypes alone, so that it can run first thing in a fresh process, before any thread and
before any import that would start one. A process enters once and for good; there is no way out.

| layer | what it takes away |
|---|---|
| `rlimits` | files, their size, processes, address space, core dumps |
| `namespaces` | the network, System V IPC and the host's name |
| `capabilities` | every right of root |
| `landlock` | opening files outside the listed folders, TCP, abstract sockets, signals to others |
| `seccomp` | every system call that is not listed |
"""

from o_sandbox.jail.entry import Jail, enter
from o_sandbox.jail.layers import JailError, Layer, LayerName, missing
from o_sandbox.jail.report import kernel_layers

__all__ = ["Jail", "JailError", "Layer", "LayerName", "enter", "kernel_layers", "missing"]
