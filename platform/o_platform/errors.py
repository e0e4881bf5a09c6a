"""Every error the platform raises on purpose.

OError                      500  root; `code` is stable, `status` is the HTTP status
├── BadInputError           422  what the caller sent is wrong; names the field
├── NotFoundError           404  unknown id
├── ConflictError           409  the state does not allow it now
├── TooLargeError           413  over a size limit
├── UnauthorizedError       401  no key, or not a valid one
├── ForbiddenError          403  the key's role does not allow it
├── NotOfferedError         501  known to the API, not offered here
├── UnavailableError        503  a part is starting, stopping or gone; try again
│   ├── DatabaseUnavailableError
│   ├── EngineUnavailableError
│   └── NotReadyError            something did not become healthy in time
├── TrafficError            500  Envoy refused or did not take a configuration
├── EngineRefusedError      500  the container engine answered, and refused
├── BuildError              422  an image or a genome cannot be built
├── LlmError                502  the model failed after retries
│   ├── LlmTimeoutError     504
│   ├── LlmBadRequestError  400  the provider refused the request itself
│   │   └── LlmContextOverflowError  the conversation is longer than the model's window
│   ├── LlmRateLimitedError 429  the provider still says "too many requests" after retries
│   ├── LlmUnauthorizedError 502 the provider's key is missing or refused
│   └── BudgetExceededError 429  the variant's budget is spent
└── SetupError              500  the machine lacks something; the message says what to do
"""

from __future__ import annotations

from typing import Any, ClassVar


class OError(Exception):
    """Something went wrong; the message says what, with which value, and what to do."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **detail: Any) -> None:
        """`detail` holds the values of the message as fields, JSON-serialisable."""
        super().__init__(message)
        self.message = message
        self.detail = detail


class BadInputError(OError):
    """What the caller sent is wrong."""

    code = "bad_input"
    status = 422


class NotFoundError(OError):
    """There is nothing with this id."""

    code = "not_found"
    status = 404


class ConflictError(OError):
    """The present state does not allow this."""

    code = "conflict"
    status = 409


class TooLargeError(OError):
    """Over a size limit."""

    code = "too_large"
    status = 413


class UnauthorizedError(OError):
    """No key, or not a valid one."""

    code = "unauthorized"
    status = 401


class ForbiddenError(OError):
    """The key's role does not allow this."""

    code = "forbidden"
    status = 403


class NotOfferedError(OError):
    """Known to the API, not offered by this server."""

    code = "not_offered"
    status = 501


class UnavailableError(OError):
    """A part of the platform is starting, stopping or gone."""

    code = "unavailable"
    status = 503
    retryable = True


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL cannot be reached."""

    code = "database_unavailable"


class EngineUnavailableError(UnavailableError):
    """The container engine cannot be reached."""

    code = "engine_unavailable"


class NotReadyError(UnavailableError):
    """Something did not become healthy in time."""

    code = "not_ready"


class TrafficError(OError):
    """Envoy refused, or did not take, a configuration."""

    code = "traffic"


class EngineRefusedError(OError):
    """The container engine answered, and refused."""

    code = "engine_refused"


class BuildError(OError):
    """A genome is invalid, or its image cannot be built."""

    code = "build_failed"
    status = 422


class LlmError(OError):
    """The model failed after retries."""

    code = "llm_error"
    status = 502
    retryable = True


class LlmTimeoutError(LlmError):
    """The model did not answer in time."""

    code = "llm_timeout"
    status = 504


class LlmBadRequestError(LlmError):
    """The provider refused the request itself."""

    code = "llm_bad_request"
    status = 400
    retryable = False


class LlmContextOverflowError(LlmBadRequestError):
    """The conversation is longer than the model's window."""

    code = "llm_context_overflow"


class LlmRateLimitedError(LlmError):
    """The provider still says "too many requests" after retries."""

    code = "llm_rate_limited"
    status = 429


class LlmUnauthorizedError(LlmError):
    """The provider's key is missing or refused; only an operator can mend it."""

    code = "llm_unauthorized"
    retryable = False


class BudgetExceededError(LlmError):
    """The variant's budget is spent."""

    code = "budget_exceeded"
    status = 429
    retryable = False


class SetupError(OError):
    """The machine lacks something the platform needs."""

    code = "setup"
