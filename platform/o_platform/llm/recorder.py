"""What LiteLLM really sends to a provider, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from o_contracts.llm import LlmResult, ProviderTrace
from o_platform.llm.chat_format import chat_response

LARGEST_TRACE: Final = 3 * 1024 * 1024
"""Characters of a trace; it travels in a frame with the reply."""
_SHORTEST_KEY: Final = 4
_NOT_OF_THE_BODY: Final = frozenset({"extra_body", "extra_headers", "extra_query", "timeout"})


class Recorder:
    """Hears of one call, as its `logger_fn`: first of the request, then of the response.

    Of addresses and headers nothing is kept. A reply that was streamed is put together again.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        """`keys` must not appear in a trace."""
        self._keys = [key for key in keys if len(key) >= _SHORTEST_KEY]
        self._request: Any = None
        self._response: Any = None

    def __call__(self, details: Mapping[str, Any]) -> None:
        """LiteLLM's account of where the call is."""
        if details.get("log_event_type") == "post_api_call":
            self._response = details.get("original_response")
        else:
            # Kept as it is: some providers' adapters add to it until it is sent.
            self._request = (details.get("additional_args") or {}).get("complete_input_dict")

    def trace(self, result: LlmResult) -> ProviderTrace | None:
        """What was heard; None if that is nothing, or too much."""
        sent = self._request
        request = self._text(_body(sent) if isinstance(sent, Mapping) else sent)
        if request is None:
            return None
        response = self._text(self._response) or json.dumps(chat_response(result))
        if len(request) + len(response) > LARGEST_TRACE:
            return None
        return ProviderTrace(request, response)

    def _text(self, value: Any) -> str | None:
        """The JSON object in it as text, without keys."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return None
        if not isinstance(value, Mapping):
            return None
        text = json.dumps(value, default=str)
        for key in self._keys:
            text = text.replace(key, "***")
        return text


def _body(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The body that OpenAI's client makes of its arguments; others' arguments are the body."""
    body = {name: value for name, value in arguments.items() if name not in _NOT_OF_THE_BODY}
    return body | (arguments.get("extra_body") or {})
