"""Calls the control plane over its Unix socket, whose file mode is the authority to do so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from o_platform.errors import OError, UnavailableError

_TIMEOUT_S = 120.0


class RefusedError(OError):
    """The control plane answered with an error."""

    code = "refused"


class ControlApi:
    """The operator API under `/o/v1`, of one running platform."""

    def __init__(self, socket: Path) -> None:
        """`socket` is `<run>/control.sock`; nothing connects yet."""
        self._socket = socket

    def get(self, path: str, **params: object) -> Any:
        """The JSON answer to a GET; parameters that are None are left out."""
        return self._call("GET", path, params=_given(params))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer to a POST of JSON."""
        return self._call("POST", path, json=_given(body or {}))

    def upload(self, path: str, content: bytes, **params: object) -> Any:
        """The JSON answer to a POST of a tar."""
        headers = {"content-type": "application/x-tar"}
        return self._call("POST", path, content=content, headers=headers, params=_given(params))

    def send_file(
        self, path: str, file: Path, fields: dict[str, Any], headers: dict[str, str]
    ) -> Any:
        """The JSON answer to a POST of a form with a file; fields that are None are left out."""
        with file.open("rb") as content:
            return self._call(
                "POST", path, files={"file": (file.name, content)}, data=_given(fields),
                headers=headers,
            )  # fmt: skip

    def delete(self, path: str) -> Any:
        """The JSON answer to a DELETE."""
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, **request: Any) -> Any:
        if not self._socket.exists():
            raise self._away("it is not there")
        try:
            with self._client() as client:
                response = client.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._away(str(error) or type(error).__name__) from error
        if not response.is_success:
            raise RefusedError(_problem(response))
        return response.json() if response.content else None

    def _away(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"the control plane does not answer on {self._socket} ({why}); "
            "is the platform up? See `o status`, start it with `o up`"
        )

    def _client(self) -> httpx.Client:
        # Nothing to verify on a Unix socket, and loading certificates takes longer than a call.
        transport = httpx.HTTPTransport(uds=str(self._socket), verify=False)
        return httpx.Client(transport=transport, base_url="http://control", timeout=_TIMEOUT_S)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _problem(response: httpx.Response) -> str:
    try:
        detail = response.json().get("detail")
    except (ValueError, AttributeError):
        detail = None
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, p['loc'][1:]))}: {p['msg']}" for p in detail)
    return str(detail or f"HTTP {response.status_code} from {response.request.url.path}")
