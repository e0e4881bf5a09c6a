"""What every runtime must do; run on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from o_platform.errors import ForbiddenError, NotReadyError
from o_platform.runtimes.folders import InstanceFolders
from o_platform.runtimes.launcher import Launcher
from o_platform.runtimes.process import ProcessRuntime
from o_platform.runtimes.protocol import Placement, Runtime, RuntimeEvent, Usage
from o_platform.settings import Settings

from .conftest import GENOME, TINY_AGENT, new_spec, open_runtime

pytestmark = pytest.mark.contract

Start = Callable[..., Awaitable[Placement]]
Ask = Callable[[Placement, str], Awaitable[Any]]

SWAP = """
import os, time
os.symlink("/run/docker.sock", os.environ["O_AGENT_SOCKET"])
time.sleep(60)
"""
OWN_VARIABLES = {"O_AGENT_SOCKET", "O_BRIDGE_SOCKET", "O_GENOME", "O_VARIANT"}
ENGINE_VARIABLES = {"HOME", "HOSTNAME", "PATH"}
LOCALE_VARIABLES = {"LC_CTYPE"}


async def next_event(events: Any, kind: str) -> RuntimeEvent:
    async with asyncio.timeout(60):
        async for event in events:
            if event.kind == kind:
                return event
    raise AssertionError("the stream of events ended")


async def test_starts_with_its_genome_and_nothing_of_our_environment(
    runtime: Runtime, start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    placement = await start()
    state = await runtime.state(placement)
    assert state is not None
    assert state.running
    assert str(state) == "running"
    facts = await ask(placement, "/facts")
    variables = set(facts["environment"]) - LOCALE_VARIABLES
    assert variables >= OWN_VARIABLES
    assert variables - OWN_VARIABLES <= ENGINE_VARIABLES
    assert facts["genome"] == ["genome.toml", "prompts"]


async def test_stops_when_asked_and_leaves_its_logs(runtime: Runtime, start: Start) -> None:
    placement = await start()
    await runtime.stop(placement, grace_s=5)
    state = await runtime.state(placement)
    assert state is not None
    assert not state.alive
    assert state.exit_code == 0
    assert "listening" in await runtime.logs(placement, 10)
    assert await runtime.usage(placement) == Usage()


async def test_is_gone_once_removed_and_may_be_removed_twice(
    runtime: Runtime, start: Start
) -> None:
    placement = await start()
    assert placement in await runtime.owned()
    await runtime.remove(placement)
    await runtime.remove(placement)
    await runtime.stop(placement, grace_s=0)
    assert await runtime.owned() == []
    assert await runtime.state(placement) is None


async def test_what_does_not_heed_is_killed(runtime: Runtime, start: Start) -> None:
    placement = await start(new_spec(arguments=("-c", TINY_AGENT, "deaf")))
    await runtime.stop(placement, grace_s=1)
    state = await runtime.state(placement)
    assert state is not None
    assert state.exit_code == 137


async def test_a_crash_is_told_and_mended_or_reported(
    runtime: Runtime, launcher: Launcher, start: Start, ask: Ask
) -> None:
    placement = await start()
    async with runtime.watch() as events:
        with pytest.raises(httpx.HTTPError):
            await ask(placement, "/crash")
        event = await next_event(events, "died")
    assert event == RuntimeEvent(placement, "died", 3)
    if runtime.name == "docker":
        await launcher.await_ready(placement)
    state = await runtime.state(placement)
    assert state is not None
    restarts = 1 if runtime.name == "docker" else 0
    assert (state.running, state.restarts) == (restarts == 1, restarts)


async def test_memory_has_an_end(runtime: Runtime, start: Start, ask: Ask) -> None:
    placement = await start()
    async with runtime.watch() as events:
        kind = "oom" if runtime.name == "docker" else "died"
        with pytest.raises(httpx.HTTPError):
            await ask(placement, "/eat")
        assert (await next_event(events, kind)).placement == placement


async def test_limits_are_those_of_the_spec(runtime: Runtime, start: Start, ask: Ask) -> None:
    facts = await ask(await start(), "/facts")
    limit = facts["memory_limit"] if runtime.name == "docker" else facts["data_limit"]
    assert int(limit) == 64 << 20
    assert facts["files_limit"] == 4096


async def test_usage_is_counted(runtime: Runtime, start: Start) -> None:
    usage = await runtime.usage(await start())
    assert 1 << 20 < usage.memory_bytes <= usage.memory_peak_bytes < 64 << 20
    assert usage.cpu_us > 1000
    assert usage.oom_kills == 0


async def test_the_last_lines_of_the_log(runtime: Runtime, launcher: Launcher) -> None:
    spec = new_spec(arguments=("-c", "for i in range(50): print('line', i)"))
    launcher.make_folders(spec)
    placement = await launcher.start(spec)
    with pytest.raises(NotReadyError, match="exited with 0") as caught:
        await launcher.await_ready(placement)
    assert "line 49" in caught.value.message
    assert (await runtime.logs(placement, 2)).split("\n")[:2] == ["line 48", "line 49"]


async def test_leftovers_are_found_by_a_new_runtime(
    runtime: Runtime, settings: Settings, start: Start
) -> None:
    placement = await start()
    later = open_runtime(runtime.name, settings)
    try:
        assert await later.owned() == [placement]
        state = await later.state(placement)
        assert state is not None
        assert state.running
        assert "listening" in await later.logs(placement, 10)
        async with later.watch() as events:
            await later.remove(placement)
            assert (await next_event(events, "died")).placement == placement
    finally:
        await later.close()


async def test_another_home_is_not_ours(runtime: Runtime, settings: Settings, start: Start) -> None:
    await start()
    other = settings.model_copy(
        update={"home": settings.home / "other", "run_dir": settings.run / "other"}
    )
    stranger = open_runtime(runtime.name, other)
    try:
        assert await stranger.owned() == []
    finally:
        await stranger.close()


async def test_a_start_replaces_what_is_left_of_the_same_id(runtime: Runtime, start: Start) -> None:
    spec = new_spec()
    first = await start(spec)
    second = await start(spec)
    assert first != second
    assert await runtime.owned() == [second]


async def test_what_cannot_start_says_why(runtime: Runtime, launcher: Launcher) -> None:
    spec = new_spec(arguments=("-m", "no_such_module"))
    launcher.make_folders(spec)
    with pytest.raises(NotReadyError, match="No module named no_such_module"):
        await launcher.await_ready(await launcher.start(spec))


async def test_a_link_in_place_of_the_socket_is_refused(
    runtime: Runtime, settings: Settings, launcher: Launcher
) -> None:
    spec = new_spec(arguments=("-c", SWAP))
    impatient = Launcher(runtime, settings, ready_timeout_s=1)
    impatient.make_folders(spec)
    with pytest.raises(NotReadyError, match="is not a socket"):
        await impatient.await_ready(await impatient.start(spec))
    inbox = impatient.folders.inbox(spec.id)
    if inbox.is_mount():  # whoever follows it all the same gets nowhere
        (inbox / "link").symlink_to("/etc/passwd")
        with pytest.raises(OSError, match="symbolic links"):
            (inbox / "link").read_bytes()


@pytest.mark.parametrize("runtime", ["docker"], indirect=True)
async def test_containers_are_closed(
    runtime: Runtime, settings: Settings, start: Start, ask: Ask
) -> None:
    placement = await start()
    facts = await ask(placement, "/facts")
    assert facts["uid"] == runtime.uid
    assert facts["pid"] == 1
    assert int(facts["capabilities"], 16) == 0
    assert (facts["no_new_privileges"], facts["seccomp"]) == ("1", "2")
    attacks = await ask(placement, "/attacks")
    assert attacks["root"] == attacks["out"] == "OSError"
    assert attacks["internet"] == attacks["unshare"] == "PermissionError"
    assert attacks["shell"] == "FileNotFoundError"
    assert attacks["landlock"] in ("done", "OSError")
    filled = await ask(placement, "/fill")
    if InstanceFolders(settings.run).inbox(placement.instance_id).is_mount():
        assert filled["error"] == 28
        assert filled["written"] <= new_spec().limits.socket_bytes
        assert (await ask(placement, "/litter"))["files"] <= 64


async def test_a_proposed_genome_needs_a_container_or_trust(settings: Settings) -> None:
    spec = new_spec(genome=GENOME, origin="machine")
    wary = ProcessRuntime(settings)
    with pytest.raises(ForbiddenError, match="--i-trust-this-genome"):
        await wary.start(spec)
    trusting = ProcessRuntime(settings.model_copy(update={"trust_machine_genomes": True}))
    await trusting.prepare(spec)
