"""The only importer of LiteLLM: one try of a model call, in our words.

LiteLLM gets no chance to retry, to count tokens with vocabularies it would download, to fetch a
price list, to read a `.env` file or to write to the terminal. A stream that ends without a finish
reason was cut; LiteLLM would pass it off as complete.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from o_contracts.llm import (
    CountRequest,
    CountResult,
    EmbedRequest,
    EmbedResult,
    LlmDelta,
    LlmRequest,
    LlmResult,
    ToolCallDelta,
)
from o_contracts.messages import Usage
from o_platform.errors import (
    LlmBadRequestError,
    LlmContextOverflowError,
    LlmError,
    LlmRateLimitedError,
    LlmTimeoutError,
    LlmUnauthorizedError,
)
from o_platform.llm.assembly import Assembly
from o_platform.llm.calls import ProviderError, parse_retry_after
from o_platform.llm.chat_format import chat_message, chat_tool
from o_platform.llm.failures import redact
from o_platform.llm.providers import Target, embedding_name, keys_in, resolve
from o_platform.llm.recorder import Recorder
from o_platform.llm.tokens import estimate_usage
from o_platform.llm.vocabularies import count_by_vocabulary

# LiteLLM reads these while it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"
os.environ["HF_HUB_OFFLINE"] = "1"

import litellm
import openai  # LiteLLM's errors are subclasses of its errors
from litellm import exceptions as failures

PASSED_ON: Final = frozenset(
    {
        "frequency_penalty",
        "max_tokens",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "top_p",
        "verbosity",
    }
)
"""Request settings that reach the provider; any other (an address, a header, a key) does not."""
OUR_TIMEOUT_FIRST_S: Final = 10.0
"""LiteLLM's own time-out comes this much later than ours, which says more."""

_CLASS_NAMES: Final = re.compile(r"^(?:(?:litellm\.)?\w+(?:Error|Timeout):\s*|\w+Exception - )+")
_CLEARER: Final = {
    "Expecting value": "its answer is not JSON; is the base URL right?",
    "payload is not completed": "the connection broke in the middle of the reply",
    "Connection error": "no connection, or it broke before the reply",
}
_FINISH: Final = {"stop", "tool_calls", "length", "content_filter"}
_NOT_RETRIED: Final = range(400, 500)


class LitellmProvider:
    """Calls models through LiteLLM."""

    def __init__(
        self, base_urls: Mapping[str, str], environ: Mapping[str, str], *, timeout_s: float
    ) -> None:
        """`environ` holds the provider keys; `timeout_s` is the caller's own limit."""
        self._base_urls = base_urls
        self._environ = environ
        self._keys = keys_in(environ, base_urls)
        self._timeout_s = timeout_s + OUR_TIMEOUT_FIRST_S
        _quieten()

    async def complete(self, request: LlmRequest) -> AsyncGenerator[LlmDelta | LlmResult, None]:
        """One try; see `calls.ModelProvider`."""
        target = resolve(request.model, self._base_urls, self._environ)
        recorder = Recorder(self._keys) if request.traced else None
        arguments = self._arguments(request, target)
        if recorder is not None:
            arguments["logger_fn"] = recorder
        try:
            reply = await litellm.acompletion(**arguments)
            if not request.stream:
                yield _traced(_result(request, target, reply), recorder)
                return
            async with aclosing(_streamed(request, target, reply)) as items:
                async for item in items:
                    yield _traced(item, recorder) if isinstance(item, LlmResult) else item
        except openai.OpenAIError as error:
            raise self._failure(request.model, error) from error

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """One try; see `calls.ModelProvider`."""
        target = resolve(request.model, self._base_urls, self._environ)
        try:
            reply = await litellm.aembedding(
                model=embedding_name(target.model), input=request.texts, timeout=self._timeout_s,
                max_retries=0, num_retries=0, drop_params=True, encoding_format="float",
                api_base=target.api_base, api_key=target.api_key,
            )  # fmt: skip
            return _vectors(request, reply)
        except openai.OpenAIError as error:
            raise self._failure(request.model, error) from error

    def count(self, request: CountRequest) -> CountResult:
        """Counted by the vocabularies that LiteLLM ships; see `vocabularies`."""
        return CountResult(count_by_vocabulary(request.model, request.texts))

    def _arguments(self, request: LlmRequest, target: Target) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": target.model,
            "messages": [chat_message(message) for message in request.messages],
            "timeout": self._timeout_s,
            "max_retries": 0,
            "num_retries": 0,
            "drop_params": True,
            "api_base": target.api_base,
            "api_key": target.api_key,
            # Else any call with tools imports an MCP client, which is not installed.
            "_skip_mcp_handler": True,
        }
        if request.tools:
            arguments["tools"] = [chat_tool(tool) for tool in request.tools]
        if request.stream:
            arguments |= {"stream": True, "stream_options": {"include_usage": True}}
        chosen = {name: value for name, value in request.settings.items() if name in PASSED_ON}
        return arguments | chosen

    def _failure(self, model: str, error: Exception) -> ProviderError:
        cause = getattr(error, "original_exception", None) or error
        said = redact(_sentence(cause), self._keys)
        status = getattr(cause, "status_code", None)
        detail = {"model": model, "provider_status": status}
        headers = getattr(cause, "litellm_response_headers", None) or {}
        wait_s = parse_retry_after(headers.get("retry-after"), datetime.now(UTC))
        kind, again = _kind_of(cause)
        return ProviderError(
            kind(f"the model `{model}` {_VERBS[kind]}: {said}", **detail),
            again=again,
            retry_after_s=wait_s,
        )


_VERBS: Final[dict[type[LlmError], str]] = {
    LlmError: "failed",
    LlmTimeoutError: "did not answer in time",
    LlmRateLimitedError: "takes no more requests now",
    LlmUnauthorizedError: "refused the provider key",
    LlmBadRequestError: "refused the request",
    LlmContextOverflowError: "cannot take that much text",
}


def _kind_of(error: Exception) -> tuple[type[LlmError], bool]:
    """What a failure is to the asker, and whether another try may help."""
    status = getattr(error, "status_code", None)
    if isinstance(error, failures.Timeout):
        return LlmTimeoutError, True
    if isinstance(error, failures.RateLimitError):
        return LlmRateLimitedError, True
    if isinstance(error, failures.AuthenticationError | failures.PermissionDeniedError):
        return LlmUnauthorizedError, False
    if isinstance(error, failures.ContextWindowExceededError):
        return LlmContextOverflowError, False
    if isinstance(status, int) and status in _NOT_RETRIED:
        return LlmBadRequestError, False
    return LlmError, True


def _sentence(error: Exception) -> str:
    """What the provider said, without LiteLLM's class names, tracebacks and JSON around it."""
    text = _CLASS_NAMES.sub("", str(error).split("\nTraceback")[0]).strip()
    for sign, clearer in _CLEARER.items():
        if sign in text:
            return clearer
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text or type(error).__name__


def _traced(result: LlmResult, recorder: Recorder | None) -> LlmResult:
    return result if recorder is None else replace(result, trace=recorder.trace(result))


async def _streamed(
    request: LlmRequest, target: Target, chunks: Any
) -> AsyncGenerator[LlmDelta | LlmResult, None]:
    assembly = Assembly()
    try:
        async for chunk in chunks:
            assembly.usage = _reported(chunk) or assembly.usage
            delta = _delta(chunk.choices[0].delta) if chunk.choices else None
            if delta is not None:
                assembly.add(delta)
                yield delta
    finally:
        await chunks.aclose()
    finish = chunks.received_finish_reason or chunks.intermittent_finish_reason
    if finish is None:
        lost = LlmError(
            f"the model `{request.model}` broke off: its stream ended without a finish reason",
            model=request.model,
        )
        raise ProviderError(lost, again=True)
    yield _finished(request, target, assembly, finish)


def _vectors(request: EmbedRequest, reply: Any) -> EmbedResult:
    rows = sorted(reply.data, key=lambda row: row["index"])
    vectors = [[float(number) for number in row["embedding"]] for row in rows]
    if len(vectors) != len(request.texts) or len({len(vector) for vector in vectors}) != 1:
        broken = LlmError(
            f"the model `{request.model}` gave {len(vectors)} vectors for {len(request.texts)} "
            "texts, or vectors of several dimensions",
            model=request.model,
        )
        raise ProviderError(broken, again=True)
    usage = _reported(reply)
    return EmbedResult(vectors, usage.prompt_tokens or 0 if usage is not None else 0)


def _result(request: LlmRequest, target: Target, reply: Any) -> LlmResult:
    choice = reply.choices[0]
    assembly = Assembly()
    assembly.usage = _reported(reply)
    delta = _delta(choice.message)
    if delta is not None:
        assembly.add(delta)
    return _finished(request, target, assembly, choice.finish_reason)


def _finished(
    request: LlmRequest, target: Target, assembly: Assembly, finish: str | None
) -> LlmResult:
    calls = assembly.tool_calls()
    counted = estimate_usage(
        request, text=assembly.text, reasoning=assembly.reasoning, tool_calls=calls
    )
    reported = assembly.usage
    return LlmResult(
        text=assembly.text,
        reasoning=assembly.reasoning,
        tool_calls=list(calls),
        finish_reason=finish if finish in _FINISH else ("tool_calls" if calls else "stop"),
        usage=_usage(reported) if reported is not None else counted,
        model=request.model,
        cost_usd=_cost_usd(target, reported),
    )


def _delta(piece: Any) -> LlmDelta | None:
    """A delta or a whole message as a delta; None if there is nothing in it."""
    calls = [
        ToolCallDelta(
            index=position if getattr(call, "index", None) is None else call.index,
            tool_call_id=call.id or None,
            name=call.function.name or None,
            arguments=call.function.arguments or "",
        )
        for position, call in enumerate(piece.tool_calls or [])
    ]
    text = piece.content or ""
    reasoning = getattr(piece, "reasoning_content", None) or ""
    if not (text or reasoning or calls):
        return None
    return LlmDelta(text=text, reasoning=reasoning, tool_calls=calls)


def _reported(answer: Any) -> Any:
    """The usage in an answer; LiteLLM writes zeros where the provider reported none."""
    usage = getattr(answer, "usage", None)
    return usage if usage is not None and usage.total_tokens else None


def _usage(reported: Any) -> Usage:
    prompt = getattr(reported, "prompt_tokens_details", None)
    completion = getattr(reported, "completion_tokens_details", None)
    return Usage(
        prompt_tokens=reported.prompt_tokens or 0,
        completion_tokens=reported.completion_tokens or 0,
        cached_input_tokens=getattr(prompt, "cached_tokens", None) or 0,
        reasoning_tokens=getattr(completion, "reasoning_tokens", None) or 0,
    )


def _cost_usd(target: Target, reported: Any) -> float:
    provider, _, name = target.model.partition("/")
    if reported is None or not {target.model, name} & litellm.model_cost.keys():
        return 0.0
    prompt_usd, completion_usd = litellm.cost_per_token(
        model=name, custom_llm_provider=provider, usage_object=reported
    )
    return float(prompt_usd + completion_usd)


def _quieten() -> None:
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.disable_token_counter = True
    litellm.disable_hf_tokenizer_download = True
    litellm.disable_streaming_logging = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
