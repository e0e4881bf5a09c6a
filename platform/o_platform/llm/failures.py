"""LLM failures on the wire and off it, and keeping provider keys out of their sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from o_contracts.frames import ErrorBody
from o_platform.errors import (
    BudgetExceededError,
    LlmBadRequestError,
    LlmContextOverflowError,
    LlmError,
    LlmRateLimitedError,
    LlmTimeoutError,
    LlmUnauthorizedError,
    OError,
)

CANCELLED: Final = "cancelled"
"""Code of the error that ends an exchange whose asker sent `CANCEL`."""
LONGEST_MESSAGE: Final = 600
"""Characters of a provider's message that are passed on."""

_BY_CODE: Final[dict[str, type[LlmError]]] = {
    kind.code: kind
    for kind in (
        LlmError,
        LlmTimeoutError,
        LlmBadRequestError,
        LlmContextOverflowError,
        LlmRateLimitedError,
        LlmUnauthorizedError,
        BudgetExceededError,
    )
}
_LOOKS_LIKE_KEY = re.compile(
    r"\b(?:sk|gsk|pk|xai|AIza)[-_][A-Za-z0-9_*.-]{4,}|Bearer\s+[^\s,;\"']+"
)


def llm_error(body: ErrorBody) -> LlmError:
    """The exception that an `ERROR` frame stands for; unknown codes become `LlmError`."""
    return _BY_CODE.get(body.code, LlmError)(body.message, **body.detail)


def error_body(error: OError) -> ErrorBody:
    """How an exception of ours travels."""
    return ErrorBody(
        code=error.code,
        message=error.message,
        status=error.status,
        detail=error.detail,
        retryable=error.retryable,
    )


def redact(message: str, keys: Iterable[str]) -> str:
    """`message` without any of `keys` or anything that looks like a key, and not too long."""
    for key in keys:
        if len(key) >= 4:
            message = message.replace(key, "***")
    message = _LOOKS_LIKE_KEY.sub("***", message)
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "…"
