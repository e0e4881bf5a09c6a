"""How many tokens a model can be shown: by its endpoint, else by the list that LiteLLM ships."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from o_platform.errors import LlmError
from o_platform.llm.builtin import is_builtin
from o_platform.llm.catalogue import BUILTIN_CONTEXT_WINDOW, UNKNOWN_CONTEXT_WINDOW
from o_platform.llm.client import LlmClient
from o_platform.llm.prices import listed_model
from o_platform.settings import Settings

FRESH_S: Final = 600.0
"""How long what the endpoints say is believed."""
_log = logging.getLogger(__name__)


class ModelWindows:
    """Context windows by handle; endpoints of the operator's own are asked now and then."""

    def __init__(self, settings: Settings, gateway: LlmClient) -> None:
        """Nothing is asked before a model of an own endpoint is."""
        self._base_urls = settings.llm_base_urls
        self._gateway = gateway
        self._found: dict[str, int] = {}
        self._asked_at = -FRESH_S
        self._lock = asyncio.Lock()

    async def of(self, handle: str) -> int:
        """Tokens; those assumed where nobody says."""
        if is_builtin(handle):
            return BUILTIN_CONTEXT_WINDOW
        if handle.partition("/")[0] in self._base_urls:
            await self._refresh()
        window = self._found.get(handle) or listed_model(handle).max_input_tokens
        return int(window) if isinstance(window, int | float) else UNKNOWN_CONTEXT_WINDOW

    async def _refresh(self) -> None:
        now = asyncio.get_running_loop().time()
        async with self._lock:
            if now - self._asked_at < FRESH_S:
                return
            self._asked_at = now
            try:
                listed = await self._gateway.models()
            except LlmError as error:
                _log.warning("context windows are not known: %s", error.message)
                return
            self._found = {m.handle: m.context_window for m in listed.models if m.context_window}
