"""Where a model handle leads: LiteLLM's name for it, the endpoint, the key.

A handle is `<provider>/<model>`. Providers of `settings.llm_base_urls` come first: a name of
`PROVIDERS` keeps that provider's own protocol and only moves to the given address (except a URL
that ends in `/v1` for `ollama`: that is Ollama's OpenAI-compatible side); any other name is an
OpenAI-compatible server. Its key is the environment variable `<PROVIDER>_API_KEY`, if it is set.

Handles come from genomes, which nobody trusts: only providers named here or by the operator are
reachable, and a handle can carry no address of its own (LiteLLM would send a key there).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from o_platform.errors import LlmBadRequestError, LlmUnauthorizedError

NO_KEY: Final = "none"
"""What clients that insist on a key send to servers that want none."""
OLLAMA_URL: Final = "http://127.0.0.1:11434"

_HANDLE = re.compile(r"([A-Za-z0-9_-]+)/([A-Za-z0-9][A-Za-z0-9._:@+/-]*)")


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as LiteLLM knows it: its prefix there, and the variable that holds its key."""

    prefix: str
    key_variable: str | None


PROVIDERS: Final[dict[str, Provider]] = {
    "anthropic": Provider("anthropic", "ANTHROPIC_API_KEY"),
    "cerebras": Provider("cerebras", "CEREBRAS_API_KEY"),
    "deepseek": Provider("deepseek", "DEEPSEEK_API_KEY"),
    "fireworks_ai": Provider("fireworks_ai", "FIREWORKS_AI_API_KEY"),
    "gemini": Provider("gemini", "GEMINI_API_KEY"),
    "groq": Provider("groq", "GROQ_API_KEY"),
    "mistral": Provider("mistral", "MISTRAL_API_KEY"),
    "ollama": Provider("ollama_chat", None),
    "openai": Provider("openai", "OPENAI_API_KEY"),
    "openrouter": Provider("openrouter", "OPENROUTER_API_KEY"),
    "together_ai": Provider("together_ai", "TOGETHERAI_API_KEY"),
    "xai": Provider("xai", "XAI_API_KEY"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """What LiteLLM is called with; None leaves the provider's default."""

    model: str
    api_base: str | None
    api_key: str | None = field(repr=False)


def split_handle(handle: str) -> tuple[str, str]:
    """Provider and model of a handle.

    Raises:
        LlmBadRequestError: it is not `<provider>/<model>`, or carries an address.
    """
    match = _HANDLE.fullmatch(handle)
    if match is None or "//" in handle or ".." in handle:
        raise LlmBadRequestError(
            f"{handle[:100]!r} is not a model handle; write <provider>/<model>, such as "
            "openai/gpt-4o-mini or o/echo",
            model=handle[:100],
        )
    return match.group(1), match.group(2)


def resolve(handle: str, base_urls: Mapping[str, str], environ: Mapping[str, str]) -> Target:
    """Where calls to `handle` go.

    Raises:
        LlmBadRequestError: malformed, or of a provider that is not known here.
        LlmUnauthorizedError: the provider's key is not in `environ`.
    """
    name, model = split_handle(handle)
    provider = PROVIDERS.get(name)
    base_url = base_urls.get(name)
    if base_url is not None and _is_generic(name, base_url):
        return Target(f"openai/{model}", base_url, environ.get(key_variable(name)) or NO_KEY)
    if provider is None:
        raise LlmBadRequestError(
            f"there is no model provider `{name}`; known are "
            f"{', '.join(sorted({*PROVIDERS, *base_urls}))}; "
            'add an OpenAI-compatible one by O_LLM_BASE_URLS=\'{"name": "http://…/v1"}\'',
            model=handle,
        )
    if name == "ollama":
        base_url = base_url or environ.get("OLLAMA_API_BASE") or OLLAMA_URL
    return Target(f"{provider.prefix}/{model}", base_url, _key(handle, provider, base_url, environ))


def speaks_openai(name: str, base_url: str) -> bool:
    """Whether the endpoint of provider `name` is OpenAI-compatible, rather than of its own kind."""
    if name == "ollama":
        return base_url.rstrip("/").endswith("/v1")
    return name not in {"anthropic", "gemini"}


def key_variable(name: str) -> str:
    """The environment variable of a provider's key."""
    provider = PROVIDERS.get(name)
    if provider is not None and provider.key_variable is not None:
        return provider.key_variable
    return f"{name.upper().replace('-', '_')}_API_KEY"


def keys_in(environ: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Every key in `environ` of a known provider or of `names`, to be kept out of messages."""
    variables = {key_variable(name) for name in {*PROVIDERS, *names}}
    return [environ[variable] for variable in sorted(variables) if environ.get(variable)]


def _is_generic(name: str, base_url: str) -> bool:
    return name not in PROVIDERS or (name == "ollama" and speaks_openai(name, base_url))


def _key(
    handle: str, provider: Provider, base_url: str | None, environ: Mapping[str, str]
) -> str | None:
    if provider.key_variable is None:
        return None
    key = environ.get(provider.key_variable)
    if key:
        return key
    if base_url is not None:
        return NO_KEY
    raise LlmUnauthorizedError(
        f"the model `{handle}` needs {provider.key_variable} in the environment of the platform; "
        "set it and restart, or choose another model (o/echo needs no key)",
        model=handle,
        variable=provider.key_variable,
    )


def embedding_name(model: str) -> str:
    """LiteLLM's name of an embedding model, given that of a chat model of the same provider."""
    provider, _, name = model.partition("/")
    return f"ollama/{name}" if provider == "ollama_chat" else model
