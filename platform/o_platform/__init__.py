"""The platform: control plane, bridge, LLM gateway, supervisor and the `o` command."""

import sys

__version__ = "0.1.0"

# httpx brings its command line, and with that rich, pygments and click, unless one is missing: no
# process of the platform has a use for them, and each would wait for their import.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
