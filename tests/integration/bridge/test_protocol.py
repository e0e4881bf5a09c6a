"""Broken frames close the connection and count; the control socket drops caches and counts."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from o_contracts.bridge import HELLO, Hello
from o_contracts.control import CACHE_DROP, STATS, BridgeStats, CacheDrop
from o_contracts.frames import Empty, Kind, encode_frame
from o_platform.testing.peer import Peer, RefusedError
from o_platform.testing.waiting import until

pytestmark = pytest.mark.integration


def raw_request(body: bytes, kind: Kind = Kind.REQUEST) -> bytes:
    """A frame whose body is these bytes, MessagePack or not."""
    return encode_frame(kind, 7, "turn.open", msgspec.Raw(body))


BROKEN = {
    "a length over the maximum": b"\xff\xff\xff\xff",
    "no MessagePack": b"\x00\x00\x00\x01\xc1",
    "no frame": b"\x00\x00\x00\x01\x01",
    "an unknown operation": encode_frame(Kind.REQUEST, 7, "turn.close", Empty()),
    "a body of another shape": encode_frame(Kind.REQUEST, 7, "turn.open", {"agent_id": 3}),
    "a body that is not UTF-8": raw_request(b"\x82\xa8agent_id\xa2\xff\xfe\xaarequest_id\xa1a"),
    "a body nested too deep": raw_request(b"\x91" * 100_000 + b"\xc0"),
    "credit nested too deep": raw_request(b"\x91" * 100_000 + b"\xc0", Kind.CREDIT),
    "an answer from the asking side": encode_frame(Kind.REPLY, 7, "turn.open", Empty()),
    "an exchange id of 0": encode_frame(Kind.REQUEST, 0, "turn.commit", Empty()),
    "credit that is not positive": encode_frame(Kind.CREDIT, 7, "llm.complete", 0),
    "hello a second time": encode_frame(Kind.REQUEST, 7, HELLO, Hello([1], "", 1)),
}


async def control(settings: Any) -> Peer:
    return await Peer.connect(settings.run / "bridge.sock")


async def test_broken_frames_close_the_connection_and_count_against_the_instance(
    bridge: Any, settings: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    bystander = await new_worker()
    turn = await bystander.open(agent)
    worker = await new_worker()
    for broken in BROKEN.values():
        worker = await new_worker(instance_id=worker.instance_id)
        worker.peer.send_raw(broken)
        await asyncio.wait_for(worker.peer.lost.wait(), 10)
    await bystander.commit(agent, turn)

    peer = await control(settings)
    stats = await peer.ask(STATS, Empty(), BridgeStats)
    assert stats.malformed == {worker.instance_id: len(BROKEN)}
    await peer.die()
    query = (
        "SELECT subject, data ->> 'count' FROM events WHERE kind = 'instance.malformed' ORDER BY id"
    )
    await until(lambda: len(rows.all(query)) == 4)
    assert sorted(rows.all(query)) == [(worker.instance_id, count) for count in "1248"]


async def test_a_broken_connection_gives_its_turns_up(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    first, second = await new_worker(), await new_worker()
    await first.open(agent)
    waiting = second.ask_open(agent)
    first.peer.send_raw(b"\xff\xff\xff\xff")
    assert (await second.peer.frame(waiting)).kind == Kind.REPLY


async def test_an_exchange_id_in_use_is_malformed(bridge: Any, new_worker: Any, rows: Any) -> None:
    agent = rows.agent()
    worker = await new_worker()
    await worker.open(agent)
    waiting = worker.ask_open(agent)
    worker.peer.send(Kind.REQUEST, waiting, "turn.open", Empty())
    await asyncio.wait_for(worker.peer.lost.wait(), 10)


async def test_nothing_is_answered_before_hello(bridge: Any, settings: Any, rows: Any) -> None:
    peer = await Peer.connect(settings.run / "bridge.sock", hello=False)
    peer.start(STATS, Empty())
    await asyncio.wait_for(peer.lost.wait(), 10)


async def test_a_peer_of_an_unknown_version_is_told_ours(bridge: Any, settings: Any) -> None:
    peer = await Peer.connect(settings.run / "bridge.sock", hello=False)
    with pytest.raises(RefusedError, match="426 protocol_version"):
        await peer.ask(HELLO, Hello([99], "", 1), msgspec.Raw)
    await asyncio.wait_for(peer.lost.wait(), 10)


async def test_a_client_reads_its_own_writes_after_a_cache_drop(
    bridge: Any, settings: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker, peer = await new_worker(), await control(settings)
    await worker.run(agent)
    rows.all("UPDATE agents SET system = 'be kind', version = version + 1")
    await peer.ask(CACHE_DROP, CacheDrop([agent]), Empty)
    turn = await worker.open(agent, have_version=2)
    assert (turn.version, turn.context.system) == (3, "be kind")
    await peer.die()


async def test_a_change_during_a_turn_empties_every_cache(
    bridge: Any, settings: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker, peer = await new_worker(), await control(settings)
    turn = await worker.open(agent)
    rows.all("UPDATE agents SET system = 'be kind', version = version + 1")
    await peer.ask(CACHE_DROP, CacheDrop([agent]), Empty)
    assert (await worker.commit(agent, turn)).version == 0
    assert (await worker.open(agent, have_version=2)).context.system == "be kind"
    await peer.die()


async def test_an_announced_change_reaches_the_cache_without_the_control_socket(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    await worker.run(agent)
    drops = bridge.cache.drops
    rows.all("UPDATE agents SET system = 'be kind', version = version + 1")
    rows.all("SELECT pg_notify('o_agents', %s)", agent)
    await until(lambda: bridge.cache.drops > drops)
    assert (await worker.open(agent, have_version=2)).context.system == "be kind"


async def test_the_control_socket_is_for_the_platforms_user_alone(
    bridge: Any, settings: Any
) -> None:
    assert oct((settings.run / "bridge.sock").stat().st_mode & 0o777) == "0o600"


async def test_a_context_over_the_frame_limit_is_sent_with_less_history(
    bridge: Any, new_worker: Any, rows: Any
) -> None:
    agent = rows.agent()
    worker = await new_worker()
    for number in range(3):
        turn = await worker.open(agent, have_version=number + 1)
        await worker.commit(agent, turn, str(number) * 2_000_000)
    turn = await worker.open(agent)
    assert 0 < len(turn.context.messages) < 6
    assert len(turn.context.messages) + turn.context.earlier_messages == 6
