from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from o_platform.llm.client import LlmClient
from o_platform.testing.openai_server import OpenAiServer
from o_platform.testing.postgres import short_folder

KEY = "gsk-1234567890-very-secret"


@dataclass
class RunningGateway:
    """The gateway process, and the provider it calls."""

    server: OpenAiServer
    socket: Path
    log: Path
    output: Path
    process: subprocess.Popen[bytes]


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """The socket as the supervisor holds it: connections queue while the gateway starts."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


@pytest.fixture(scope="module")
def running_gateway() -> Iterator[RunningGateway]:
    with short_folder() as folder, OpenAiServer() as server:
        base_urls = {
            "local": server.base_url,
            "openai": server.base_url,
            "groq": server.base_url,
            "anthropic": server.url,
            "ollama": server.url,
            "gone": "http://127.0.0.1:1/v1",
        }
        environment = os.environ | {
            "LISTEN_FDS": "1",
            "O_HOME": str(folder),
            "O_RUN_DIR": str(folder),
            "O_LLM_BASE_URLS": json.dumps(base_urls),
            "O_LLM_TIMEOUT_S": "6",
            "O_LLM_CHUNK_TIMEOUT_S": "0.5",
            "O_LLM_RETRIES": "2",
            "O_LLM_CONCURRENCY": "2",
            "GROQ_API_KEY": KEY,
            "LOCAL_API_KEY": "local-key",
        }
        log, output = folder / "log", folder / "output"
        path = folder / "llm.sock"
        with log.open("wb") as stderr, output.open("wb") as stdout, listening(path) as listener:
            fd = listener.fileno()
            process = subprocess.Popen(
                ["bash", "-c", f'exec "$0" -m o_platform.llm 3<&{fd}', sys.executable],
                env=environment, stdout=stdout, stderr=stderr, pass_fds=[fd],
            )  # fmt: skip
            yield RunningGateway(server, path, log, output, process)
            process.terminate()
            assert process.wait(10) == 0
            assert path.exists()


@pytest.fixture
def provider(running_gateway: RunningGateway) -> OpenAiServer:
    running_gateway.server.reset()
    return running_gateway.server


@pytest.fixture
async def client(running_gateway: RunningGateway) -> AsyncIterator[LlmClient]:
    client = LlmClient(running_gateway.socket)
    yield client
    await client.close()
