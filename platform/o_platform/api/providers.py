"""Which of the API's provider types a model handle stands for.

The API knows a closed list; a handle may name any provider. What is not on the list is shown as
`openai`, the protocol that such endpoints speak.
"""

from __future__ import annotations

_PROVIDER_TYPES = frozenset(
    {
        "anthropic", "azure", "baseten", "bedrock", "cerebras", "chatgpt_oauth", "deepseek",
        "fireworks", "google_ai", "google_vertex", "groq", "hugging-face", "letta",
        "lmstudio_openai", "minimax", "moonshot", "moonshot_coding", "mistral", "ollama", "openai",
        "together", "vllm", "sglang", "openrouter", "xai", "zai", "zai_coding",
    }
)  # fmt: skip
_WITHOUT_ENDPOINT_TYPE = frozenset(
    {"cerebras", "fireworks", "letta", "lmstudio_openai", "sglang", "chatgpt_oauth"}
)

_EMBEDDING_TYPES = frozenset(
    {
        "openai", "anthropic", "bedrock", "google_ai", "google_vertex", "azure", "groq", "ollama",
        "vllm", "hugging-face", "mistral", "together",
    }
)  # fmt: skip


def provider_type(handle: str) -> str:
    """The provider type of `provider/model`."""
    provider = handle.partition("/")[0]
    return provider if provider in _PROVIDER_TYPES else "openai"


def endpoint_type(handle: str) -> str:
    """The (deprecated) endpoint type of `provider/model`."""
    provider = provider_type(handle)
    return "openai" if provider in _WITHOUT_ENDPOINT_TYPE else provider


def embedding_endpoint_type(handle: str) -> str:
    """The (deprecated) endpoint type of the embedding model `provider/model`."""
    if handle.startswith("o/"):
        return "hugging-face"
    provider = provider_type(handle)
    return provider if provider in _EMBEDDING_TYPES else "openai"
