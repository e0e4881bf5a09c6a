"""What `o up` prints at the end: where to reach the platform, its key, and examples that work."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from o_platform.cli.control_api import ControlApi
from o_platform.cli.terminal import say
from o_platform.settings import Settings

_KEY_NAME = "first-operator"


def token_file(settings: Settings) -> Path:
    """Where the first operator key's token is kept (mode 0600)."""
    return settings.home.absolute() / "keys" / "operator.token"


def first_token(settings: Settings, api: ControlApi) -> str:
    """The token of the first operator key, which is made if there is none."""
    file = token_file(settings)
    if file.exists():
        return file.read_text().strip()
    token: str = api.post("/o/v1/keys", {"name": _KEY_NAME, "role": "operator"})["token"]
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(token + "\n")
    draft.rename(file)
    return token


def base_url(settings: Settings) -> str:
    """The URL clients on this machine use."""
    scheme = "http" if settings.tls == "off" else "https"
    host = settings.listen_host
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 — compared, not bound
        host = "127.0.0.1"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.listen_port}"


def print_summary(settings: Settings, token: str, headline: str, *, show_key: bool = True) -> None:
    """Print it; `show_key` is false where the output is kept as a log."""
    url, key = base_url(settings), shlex.quote(str(token_file(settings)))
    say(f"\n{headline}\n")
    say(f"  API      {url}")
    say(f"  docs     {url}/docs")
    if show_key:
        say(f"  API key  {token}")
    kept = f"{token_file(settings)} (operator; more: o keys create)"
    say(f"  {'' if show_key else 'API key':<9}{kept}")
    say(f"  home     {settings.home.absolute()}")
    say("  see      o status · o logs -f · o doctor · o down\n")
    say("Try it with curl:\n")
    say(_curl_example(url, key, insecure=settings.tls == "auto"))
    say(f"\nor with letta-client ({sys.executable} has it):\n")
    say(_python_example(url, token_file(settings), insecure=settings.tls == "auto"))
    say()


def _curl_example(url: str, key: str, *, insecure: bool) -> str:
    curl = "curl -sk" if insecure else "curl -s"
    headers = '-H "Authorization: Bearer $KEY" -H "Content-Type: application/json"'
    return "\n".join(
        [
            f"  KEY=$(cat {key})",
            f'  AGENT=$({curl} {url}/v1/agents/ {headers} -d \'{{"model": "o/echo"}}\' \\',
            "    | grep -o 'agent-[0-9a-f-]*' | head -n 1)",
            f"  {curl} {url}/v1/agents/$AGENT/messages {headers} \\",
            '    -d \'{"messages": [{"role": "user", "content": "hello"}]}\'',
        ]
    )


def _python_example(url: str, key: Path, *, insecure: bool) -> str:
    client = ", http_client=DefaultHttpxClient(verify=False)" if insecure else ""
    imports = "DefaultHttpxClient, Letta" if insecure else "Letta"
    return "\n".join(
        [
            f"  from letta_client import {imports}",
            f"  key = open({str(key)!r}).read().strip()",
            f"  client = Letta(base_url={url!r}, api_key=key{client})",
            '  agent = client.agents.create(model="o/echo", memory_blocks='
            '[{"label": "human", "value": "Ada"}])',
            '  turn = client.agents.messages.create(agent.id, input="hello")',
            "  print(turn.messages[-1].content)",
        ]
    )
