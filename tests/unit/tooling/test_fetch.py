"""What a tool may fetch, and what it may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from o_platform.tooling.fetch import Fetcher, FetchError, FetchPolicy
from o_platform.tooling.grants import (
    SecretError,
    fetch_policy,
    named,
    placeholder,
    unknown_grants,
)

pytestmark = pytest.mark.unit
PUBLIC = "93.184.216.34"
ADDRESSES = {
    "good.example": [PUBLIC], "sub.good.example": [PUBLIC], "other.example": [PUBLIC],
    "inside.example": ["10.0.0.5"], "mixed.example": [PUBLIC, "127.0.0.1"],
    "local.example": ["::1"], "mapped.example": ["::ffff:169.254.169.254"],
    "cloud.example": ["169.254.169.254"], "nat64.example": ["64:ff9b::7f00:1"],
    "shared.example": ["100.64.0.1"], "unset.example": ["0.0.0.0"],  # noqa: S104
}  # fmt: skip


async def _addresses(host: str, port: int) -> Sequence[str]:
    if host in ADDRESSES:
        return ADDRESSES[host]
    return [host]  # an address


class _Site:
    """Answers by path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        path = request.url.path
        if path.startswith("/to/"):
            target = "http://" + path.removeprefix("/to/")
            return httpx.Response(302, headers={"Location": target})
        if path == "/loop":
            return httpx.Response(302, headers={"Location": "/loop"})
        if path == "/large":
            return httpx.Response(200, content=b"x" * 2000)
        if path == "/bytes":
            return httpx.Response(200, content=b"\xff\xfe\x00")
        if path == "/echo":
            return httpx.Response(200, text=request.headers.get("authorization", "none"))
        return httpx.Response(200, text="hello")


async def _fetch(site: _Site, url: str, policy: FetchPolicy | None = None, **more: Any) -> Any:
    fetcher = Fetcher(_addresses, httpx.MockTransport(site))
    policy = policy or FetchPolicy(["good.example", "*.good.example"], max_bytes=1000)
    return await fetcher.fetch({"url": url, **more}, policy)


async def test_goes_to_the_checked_address_under_its_name() -> None:
    site = _Site()
    found = await _fetch(site, "https://good.example:8443/x?y=1")
    assert (found["status"], found["text"]) == (200, "hello")
    (request,) = site.seen
    assert request.url.host == PUBLIC
    assert request.headers["host"] == "good.example:8443"
    assert request.extensions["sni_hostname"] == "good.example"
    assert (await _fetch(site, "http://good.example/bytes"))["base64"]


@pytest.mark.parametrize("host", [name for name in ADDRESSES if "good" not in name])
async def test_private_places_are_refused_whatever_is_granted(host: str) -> None:
    site = _Site()
    if host == "other.example":
        with pytest.raises(FetchError, match="grant `http.fetch:other.example`"):
            await _fetch(site, f"http://{host}/")
    else:
        with pytest.raises(FetchError, match="not a public address"):
            await _fetch(site, f"http://{host}/", FetchPolicy([host]))
    assert site.seen == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1/", "not a public address"),
        ("http://[::1]/", "not a public address"),
        ("file:///etc/passwd", "only http and https"),
        ("http://user:secret@good.example/", "user and password"),
        ("http://evilgood.example/", "not among the domains"),
        ("nonsense", "only http and https"),
    ],
)
async def test_odd_targets_are_refused(url: str, said: str) -> None:
    policy = FetchPolicy(["good.example", "127.0.0.1", "::1"])
    with pytest.raises(FetchError, match=said):
        await _fetch(_Site(), url, policy)


@pytest.mark.parametrize("target", ["other.example/", "inside.example/", "127.0.0.1/"])
async def test_a_redirect_is_checked_like_the_first_request(target: str) -> None:
    site = _Site()
    policy = FetchPolicy(["good.example", "inside.example", "127.0.0.1"])
    with pytest.raises(FetchError):
        await _fetch(site, f"http://good.example/to/{target}", policy)
    assert len(site.seen) == 1
    assert (await _fetch(site, "http://good.example/to/sub.good.example/"))["status"] == 200
    with pytest.raises(FetchError, match="redirects"):
        await _fetch(site, "http://good.example/loop")


async def test_a_secret_reaches_its_host_and_never_the_tool() -> None:
    site = _Site()
    grants = ["http.fetch:good.example", "http.fetch:other.example", "secrets.use:TOKEN"]
    policy = fetch_policy(grants, {"TOKEN": "s3cret", "OTHER": "x"})
    headers = {"Authorization": "Bearer {{secret:TOKEN}}"}
    found = await _fetch(site, "http://good.example/echo", policy, headers=headers)
    assert site.seen[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(found)
    with pytest.raises(FetchError, match="left its host"):
        await _fetch(site, "http://good.example/to/other.example/", policy, headers=headers)
    with pytest.raises(FetchError, match="'OTHER' is not granted"):
        await _fetch(site, "http://good.example/", policy, headers={"X": "{{secret:OTHER}}"})


async def test_a_secret_may_be_in_the_query_and_is_not_told_back() -> None:
    site = _Site()
    grants = ["http.fetch:good.example", "secrets.use:KEY"]
    policy = fetch_policy(grants, {"KEY": "a&b=c d"})
    found = await _fetch(site, "http://good.example/echo?q=1&key={{secret:KEY}}", policy)
    assert dict(site.seen[0].url.params) == {"q": "1", "key": "a&b=c d"}
    assert found["url"].endswith("key={{secret:KEY}}")
    for wrong in ("ftp://good.example/?{{secret:KEY}}", "http://else.example/?{{secret:KEY}}"):
        with pytest.raises(FetchError) as caught:
            await _fetch(site, wrong, policy)
        assert "a&b" not in str(caught.value)
        assert "a%26b" not in str(caught.value)


async def test_a_secret_does_not_follow_to_another_scheme() -> None:
    policy = fetch_policy(["http.fetch:good.example", "secrets.use:KEY"], {"KEY": "s3cret"})
    with pytest.raises(FetchError, match="left its host"):
        await _fetch(
            _Site(), "https://good.example/to/good.example/", policy,
            headers={"Authorization": "{{secret:KEY}}"},
        )  # fmt: skip


def test_what_stands_for_a_secret_is_given_by_grant() -> None:
    grants = ["secrets.use:KEY", "secrets.use:UNSET"]
    assert placeholder({"name": "KEY"}, grants, {"KEY"}) == "{{secret:KEY}}"
    for name, says in (("OTHER", "not granted"), ("UNSET", "has no secret"), (None, "not granted")):
        with pytest.raises(SecretError, match=says):
            placeholder({"name": name}, grants, {"KEY", "OTHER"})


async def test_sizes_and_forms_are_bounded() -> None:
    for more, said in (
        ({"url": "http://good.example/large"}, "over 1000 bytes"),
        ({"body": "x" * 300_000, "method": "POST"}, "body is over"),
        ({"headers": {"Host": "inside"}}, "header Host"),
        ({"method": "TRACE"}, "http.fetch"),
        ({"unknown": 1}, "unknown"),
    ):
        arguments: dict[str, Any] = {"url": "http://good.example/", **more}
        with pytest.raises(FetchError, match=said):
            await _fetch(_Site(), **arguments)


def test_grants_are_known_by_name_and_detail() -> None:
    assert unknown_grants(["http.fetch:x", "secrets.use:A", "o.sleep", "memory.read"]) == []
    assert unknown_grants(["http.fetch", "o.sleep:1", "shell", "secrets.use:"]) == [
        *("http.fetch", "o.sleep:1", "shell", "secrets.use:"),
    ]
    assert named(["http.fetch:a", "http.fetch:b", "o.sleep"]) == {"http.fetch", "o.sleep"}
