"""The socket that the control plane answers on.

The supervisor holds it: when the control plane is killed, connections wait in its queue for the
next one, and none is refused. A control plane without a supervisor makes one of its own.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

from o_platform.llm.server import listening_socket

BACKLOG: Final = 2048


def control_socket(path: Path) -> socket.socket:
    """Listen at `path`, on a socket for whoever Envoy runs as and for nobody else.

    Raises:
        OSError: the folder is not there or not writable.
    """
    listener = listening_socket(str(path))
    listener.listen(BACKLOG)
    _give_to_envoy(path)
    return listener


def _give_to_envoy(name: Path) -> None:
    envoy = name.parent / "envoy"
    if os.geteuid() == 0 and envoy.exists():
        owner = envoy.stat()
        os.chown(name, owner.st_uid, owner.st_gid)
