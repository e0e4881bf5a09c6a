"""`http.fetch`: one request for a tool, within its domains, sizes and times.

The address is looked up here, checked, and the connection is made to that very address (the name is
kept for TLS and the `Host` header), so that a name cannot lead elsewhere between check and use. A
redirect is a new request that is checked in the same way; secrets do not follow to another host.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote, quote_plus

import httpx
import msgspec
from msgspec import Struct

from o_platform.tooling.addresses import (
    ForbiddenAddressError,
    Resolver,
    public_address,
    system_addresses,
)

MAX_REDIRECTS: Final = 5
_SCHEMES: Final = {"http": 80, "https": 443}
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SECRET: Final = re.compile(r"\{\{\s*secret:([A-Za-z0-9_.-]{1,100})\s*\}\}")


class FetchError(Exception):
    """The request was not made, or got no answer; the text is for the tool."""


class FetchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tool asks for.

    `{{secret:NAME}}` in a header, the body or the query becomes the secret.
    """

    url: str
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = {}
    body: str | None = None
    json: Any = None
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What one tool may fetch. A domain is a host, `*.host` for all below it, or `*` for any."""

    domains: Sequence[str]
    secrets: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = 1024 * 1024
    max_sent_bytes: int = 256 * 1024
    max_s: float = 30.0


class Fetcher:
    """Makes requests for tools."""

    def __init__(
        self,
        resolve: Resolver = system_addresses,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport` makes connections; None for real ones."""
        self._resolve = resolve
        self._transport = transport

    async def fetch(self, arguments: Mapping[str, Any], policy: FetchPolicy) -> dict[str, Any]:
        """Make one request, following redirects; `status`, `headers`, `url` and `text` or `base64`.

        Raises:
            FetchError: refused, failed, too large or too late.
        """
        try:
            request = msgspec.convert(dict(arguments), FetchRequest)
        except msgspec.ValidationError as error:
            raise FetchError(f"http.fetch: {error}") from None
        try:
            async with asyncio.timeout(min(request.timeout_s, policy.max_s)):
                return await self._follow(request, policy)
        except TimeoutError:
            raise FetchError(f"no answer from {_host_of(request.url)} in time") from None
        except (httpx.HTTPError, OSError) as error:
            said = str(error) or type(error).__name__
            raise FetchError(f"{_host_of(request.url)}: {_hidden(said, policy)}") from None
        except ForbiddenAddressError as error:
            raise FetchError(str(error)) from None

    async def _follow(self, request: FetchRequest, policy: FetchPolicy) -> dict[str, Any]:
        origin = _origin_of(request.url)
        for _ in range(MAX_REDIRECTS + 1):
            found = await self._once(
                request, policy, with_secrets=_origin_of(request.url) == origin
            )
            target = found["headers"].get("location")
            if found["status"] not in _REDIRECTS or target is None:
                return found
            request = _redirected(request, found["status"], target)
        raise FetchError(f"{origin}: more than {MAX_REDIRECTS} redirects")

    async def _once(
        self, request: FetchRequest, policy: FetchPolicy, *, with_secrets: bool
    ) -> dict[str, Any]:
        secrets = policy.secrets if with_secrets else {}
        url = _with_query(_checked_url(request.url, policy.domains), request.url, secrets)
        port = url.port or _SCHEMES[url.scheme]
        address = public_address(await self._resolve(url.host, port), url.host)
        headers, content = _content(request, secrets)
        if content is not None and len(content) > policy.max_sent_bytes:
            raise FetchError(f"the body is over {policy.max_sent_bytes} bytes")
        client = httpx.AsyncClient(
            transport=self._transport, trust_env=False, follow_redirects=False, timeout=policy.max_s
        )
        async with client:
            made = client.build_request(
                request.method,
                url.copy_with(host=address),
                headers={**headers, "Host": url.netloc.decode()},
                content=content,
                extensions={"sni_hostname": url.host},
            )
            response = await client.send(made, stream=True)
            return _shown(response, await _body(response, policy.max_bytes), request.url, policy)


def _checked_url(text: str, domains: Sequence[str]) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise FetchError(f"{text[:200]!r} is no URL: {error}") from None
    if url.scheme not in _SCHEMES or not url.host:
        raise FetchError(f"{text[:200]!r}: only http and https are fetched")
    if url.userinfo:
        raise FetchError("a user and password in the URL are not sent; use a secret in a header")
    if not any(_matches(url.host.lower(), domain.lower()) for domain in domains):
        allowed = ", ".join(domains) or "none"
        raise FetchError(
            f"{url.host} is not among the domains granted to this tool ({allowed}); grant "
            f"`http.fetch:{url.host}` to allow it"
        )
    return url


def _matches(host: str, domain: str) -> bool:
    if domain == "*":
        return True
    if domain.startswith("*."):
        return host.endswith(domain[1:]) and len(host) > len(domain) - 1
    return host == domain


def _content(
    request: FetchRequest, secrets: Mapping[str, str]
) -> tuple[dict[str, str], bytes | None]:
    headers = {}
    for name, value in request.headers.items():
        if name.lower() in _OWN_HEADERS:
            raise FetchError(f"the header {name} is set here, not by tools")
        headers[name] = _with_secrets(value, secrets)
    if request.json is not None:
        headers.setdefault("Content-Type", "application/json")
        return headers, _with_secrets(msgspec.json.encode(request.json).decode(), secrets).encode()
    body = request.body
    return headers, None if body is None else _with_secrets(body, secrets).encode()


def _with_query(url: httpx.URL, text: str, secrets: Mapping[str, str]) -> httpx.URL:
    """The URL with the secrets of its query, each as one value whatever is in it.

    `text` is the same URL as the tool wrote it; what is wrong with it was said before.
    """
    place, _, query = text.partition("?")
    if not _SECRET.search(query):
        return url
    quoted = {name: quote(value, safe="") for name, value in secrets.items()}
    try:
        return httpx.URL(f"{place}?{_with_secrets(query, quoted)}")
    except httpx.InvalidURL:
        raise FetchError("with its secrets, the URL is too long") from None


def _with_secrets(text: str, secrets: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in secrets:
            raise FetchError(
                f"the secret {name!r} is not granted to this tool, not set for this agent, or the "
                f"request left its host; grant `secrets.use:{name}`"
            )
        return secrets[name]

    return _SECRET.sub(value, text)


def _redirected(request: FetchRequest, status: int, target: str) -> FetchRequest:
    url = str(httpx.URL(request.url).join(target))
    becomes_get = status == 303 or (status in (301, 302) and request.method == "POST")
    if not becomes_get:
        return msgspec.structs.replace(request, url=url)
    return msgspec.structs.replace(request, url=url, method="GET", body=None, json=None)


async def _body(response: httpx.Response, limit: int) -> bytes:
    received = bytearray()
    try:
        async for piece in response.aiter_bytes():
            received += piece
            if len(received) > limit:
                raise FetchError(f"the answer is over {limit} bytes")
    finally:
        await response.aclose()
    return bytes(received)


def _shown(response: httpx.Response, body: bytes, url: str, policy: FetchPolicy) -> dict[str, Any]:
    """The answer for the tool; a server that echoes a secret does not give it away."""
    headers = {name: _hidden(value, policy) for name, value in response.headers.items()}
    shown: dict[str, Any] = {
        "status": response.status_code, "url": _hidden(url, policy), "headers": headers
    }  # fmt: skip
    try:
        shown["text"] = _hidden(body.decode(response.encoding or "utf-8"), policy)
    except (UnicodeDecodeError, LookupError):
        shown["base64"] = base64.b64encode(_hidden_bytes(body, policy)).decode()
    return shown


def _hidden(text: str, policy: FetchPolicy) -> str:
    for name, value in policy.secrets.items():
        if value:
            for form in (value, quote(value, safe=""), quote_plus(value)):
                text = text.replace(form, f"{{{{secret:{name}}}}}")
    return text


def _hidden_bytes(body: bytes, policy: FetchPolicy) -> bytes:
    for value in policy.secrets.values():
        if value:
            body = body.replace(value.encode(), b"***")
    return body


def _origin_of(url: str) -> tuple[str, str, int | None]:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "", url[:200], None
    return parsed.scheme, parsed.host, parsed.port


def _host_of(url: str) -> str:
    try:
        return httpx.URL(url).host or url[:200]
    except httpx.InvalidURL:
        return url[:200]
