"""Every setting, read once from the environment (prefix `O_`, nested with `__`).

`<home>` keeps what must survive (database, keys, logs, caches); `<run>` holds sockets and derived
files, rebuilt at every start. Socket paths must stay below 108 bytes, so `<run>` is short.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_POSTGRESQL = ("postgresql://", "postgres://", "postgresql+psycopg://")


def default_home() -> Path:
    """`/var/lib/project-o` for root (other users must reach into it), else in the home folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/project-o")
    return Path.home() / ".local" / "share" / "project-o"


class Limits(BaseSettings):
    """What one instance may use."""

    model_config = SettingsConfigDict(env_prefix="O_LIMITS__")

    memory_bytes: int = Field(
        150 * 1024 * 1024, ge=32 * 1024 * 1024, description="memory and swap together"
    )
    cpus: float = Field(
        1.0, gt=0, description="CPU cores; stable instances are never throttled below 1"
    )
    pids: int = Field(64, ge=8, description="processes and threads")
    scratch_bytes: int = Field(
        16 * 1024 * 1024, ge=64 * 1024, description="size of /tmp in the instance"
    )
    socket_bytes: int = Field(
        1024 * 1024, ge=64 * 1024, description="size of the folder of agent.sock"
    )


class Settings(BaseSettings):
    """The platform's settings."""

    model_config = SettingsConfigDict(env_prefix="O_", env_nested_delimiter="__", extra="ignore")

    home: Path = Field(default_factory=default_home, description="folder of all durable state")
    run_dir: Path | None = Field(None, description="folder of sockets; default derived from home")
    listen: str = Field("127.0.0.1:8283", description="host:port clients talk to")
    tls: str = Field(
        "off", description="off, auto (self-signed), or CERT.pem:KEY.pem; reloaded on change"
    )
    auth: Literal["auto", "required"] = Field(
        "auto",
        description="auto: keys are required unless the listener is loopback; required: always",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", "O_DATABASE_URL"),
        description="postgresql://…; absent: an embedded PostgreSQL under <home>/pg",
    )
    runtime: Literal["auto", "docker", "process"] = Field(
        "auto", description="where instances run; auto: docker if an engine answers, else process"
    )
    base_image: str | None = Field(
        None, description="base of agent images; absent: made from this interpreter"
    )
    trust_machine_genomes: bool = Field(
        False,
        description="run genomes that a model proposed without a container, which isolates nothing",
    )
    limits: Limits = Field(default_factory=Limits, description="what one instance may use")
    encryption_key: SecretStr | None = Field(
        None,
        description="keys that seal data at rest, as base64 of 32 bytes: the one in force, then "
        "former ones, parted by commas; absent: <home>/keys/encryption.key",
    )
    encryption_key_command: str | None = Field(
        None, description="a command that prints such keys, one a line"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    default_model: str = Field("o/echo", description="model of agents created without one")
    llm_timeout_s: float = Field(120.0, gt=0, description="seconds until an LLM call is given up")
    llm_chunk_timeout_s: float = Field(
        60.0,
        gt=0,
        description="seconds of silence in a streamed reply until it is given up",
    )
    llm_concurrency: int = Field(
        64, ge=1, description="LLM calls the gateway makes at once; more of them wait their turn"
    )
    llm_retries: int = Field(
        3, ge=0, description="further tries after a 429, 5xx or a lost connection"
    )
    llm_base_urls: dict[str, str] = Field(
        default_factory=dict,
        description='OpenAI-compatible endpoints by provider name, as JSON: {"local": "http://…/v1"}',
    )
    llm_models: list[str] = Field(
        default_factory=list, description="model handles to list, besides the built-in ones"
    )
    embedding_models: list[str] = Field(
        default_factory=list, description="embedding model handles to list, besides the local ones"
    )
    message_embedding: str = Field(
        "o/hash", description="embedding model by which messages are found again"
    )
    trace_days: int = Field(
        0, ge=0, le=3650, description="days that what steps sent to providers is kept; 0: never"
    )
    variant_budget_usd: float = Field(
        5.0, ge=0, description="LLM spend of one variant per day, in USD"
    )
    variant_budget_tokens: int = Field(
        5_000_000,
        ge=0,
        description="LLM tokens of one variant per day (for models without a price)",
    )
    scripted_model: Path | None = Field(None, description="YAML file of the model o/scripted")
    evolution_model: str = Field("o/scripted", description="model that proposes changes")
    turn_wait_s: float = Field(
        60.0, gt=0, description="longest wait for the turns queued before one"
    )
    callback_hosts: list[str] = Field(
        default_factory=list,
        description="hosts that callbacks of runs may reach although their address is private",
    )
    max_body_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="largest request body")
    mcp_stdio: Literal["operators", "anyone", "off"] = Field(
        "operators", description="who may add MCP servers that are programs on this machine"
    )
    max_upload_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, description="largest agent file or document to upload"
    )

    @field_validator("listen")
    @classmethod
    def _is_host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("give HOST:PORT with a port up to 65535, such as 127.0.0.1:8283")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(_POSTGRESQL):
            raise ValueError("give a URL that starts with postgresql://")
        return value

    @property
    def run(self) -> Path:
        """The folder of sockets and derived files."""
        if self.run_dir is not None:
            return self.run_dir
        digest = hashlib.sha256(str(self.home.absolute()).encode()).hexdigest()[:8]
        base = Path("/run") if os.geteuid() == 0 else Path(f"/tmp/o-{os.geteuid()}")  # noqa: S108
        return base / "project-o" / digest

    @property
    def listen_host(self) -> str:
        """Host part of `listen`."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def listen_port(self) -> int:
        """Port part of `listen`."""
        return int(self.listen.rpartition(":")[2])
