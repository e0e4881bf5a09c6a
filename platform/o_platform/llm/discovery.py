"""Asks the operator's own endpoints which models they have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx

from o_contracts.llm import FoundModel, ModelList
from o_platform.llm.failures import redact
from o_platform.llm.providers import key_variable, keys_in, speaks_openai

TIMEOUT_S: Final = 5.0
_WINDOW_FIELDS: Final = ("max_model_len", "context_window", "context_length", "max_context_length")
"""What vLLM, Groq, OpenRouter and LM Studio call the context window."""


class ModelFinder:
    """Lists the models of `base_urls` (by provider name)."""

    def __init__(self, base_urls: Mapping[str, str], environ: Mapping[str, str]) -> None:
        """`environ` holds the provider keys."""
        self._base_urls = base_urls
        self._environ = environ
        self._keys = keys_in(environ, base_urls)

    async def find(self) -> ModelList:
        """Every endpoint's models, and a sentence for each endpoint that did not answer."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            names = sorted(name for name in self._base_urls if self._can_list(name))
            answers = await asyncio.gather(*(self._ask(client, name) for name in names))
        models = [model for answer in answers if not isinstance(answer, str) for model in answer]
        return ModelList(models, [answer for answer in answers if isinstance(answer, str)])

    def _can_list(self, name: str) -> bool:
        return name == "ollama" or speaks_openai(name, self._base_urls[name])

    async def _ask(self, client: httpx.AsyncClient, name: str) -> list[FoundModel] | str:
        base_url = self._base_urls[name].rstrip("/")
        url = f"{base_url}/models" if speaks_openai(name, base_url) else f"{base_url}/api/tags"
        key = self._environ.get(key_variable(name))
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            response = await client.get(url, headers=headers)
            response.raise_for_status()
            return _models(name, response.json())
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            said = redact(str(error) or type(error).__name__, self._keys)
            return f"the model provider `{name}` at {url} does not list its models: {said}"


def _models(name: str, body: Any) -> list[FoundModel]:
    rows = body["data"] if "data" in body else body["models"]
    return [
        FoundModel(f"{name}/{row.get('id') or row['name']}", _context_window(row)) for row in rows
    ]


def _context_window(row: dict[str, Any]) -> int:
    for field in _WINDOW_FIELDS:
        if isinstance(row.get(field), int):
            return int(row[field])
    return 0
