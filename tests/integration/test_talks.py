"""Conversations of `lbdemo stream`, and what their replicas say of them afterwards. Real replicas, real channels."""

from __future__ import annotations

import asyncio

from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client import aio
from lb_client.script import Mode, Moment, Script
from lb_client.talks import Talks, Witnesses
from tests.support.eventually import aeventually


async def test_stream_that_comes_back_to_a_replica_is_told_of_as_it_ended_there_at_last() -> None:
    """A proxy, or a ring, may take a stream that was asked to move to the replica where it was."""
    moments: list[Moment] = []
    async with (
        Replica(ReplicaSpec(id="r1")) as replica,
        aio.insecure_channel(f"static:{replica.address}") as channel,
        Witnesses() as witnesses,
    ):
        script = Script(mode=Mode.PING_PONG, count=None, duration_s=30, interval_s=0.02)
        talks = Talks(channel, script, tell=moments.append, witnesses=witnesses)
        talk = talks.talks[0]
        running = asyncio.create_task(talks.run())
        await aeventually(lambda: _assert(talk.received > 0))
        assert replica.rebalance() == 1
        await aeventually(lambda: _assert(len(talk.homes) == 2 and talk.homes[-1].received > 0))
        talks.stop()
        await running
        views = await witnesses.views([talk])
    assert [home.replica for home in talk.homes] == ["r1", "r1"]
    assert talk.status == "OK"
    assert views[talk.name][-1].ending == "completed"
    assert views[talk.name][-1].received == talk.homes[-1].sent + talk.moves[-1].unacknowledged


def _assert(fact: bool) -> None:
    assert fact
