"""The platform: control plane, bridge, LLM gateway, supervisor and the `o` command."""

__version__ = "0.1.0"
