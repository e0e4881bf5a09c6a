"""The control plane's process: `python -m o_platform.api`, on `<run>/control.sock`."""

from __future__ import annotations

import gc


def run() -> None:
    """Import everything, then serve until told to stop."""
    # Imports make no garbage, but the collector would look for it again and again meanwhile.
    gc.disable()
    from o_platform.api.process import main

    main()


if __name__ == "__main__":
    run()
