"""A room's channels: another ring for each set of endpoints, the old one open for as long as somebody uses it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client.chat_channels import RingChannels, RoomChannels
from lb_client.chat_session import ChatError, ChatSession
from protos import chat_pb2, chat_pb2_grpc
from protos.chat_rules import ROOM_KEY, room_header
from resolver.testing import ManualRegistry
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOMS = [f"room {number}" for number in range(60)]


@pytest.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Replica(ReplicaSpec(id=f"r{n}", linger_s=0))) for n in (1, 2, 3)]


async def located(channel: grpc.aio.Channel | None) -> dict[str, str]:
    assert channel is not None
    stub: chat_pb2_grpc.ChatAsyncStub = chat_pb2_grpc.ChatStub(channel)
    found = {}
    for room in ROOMS:
        metadata = ((ROOM_KEY, room_header(room)),)
        found[room] = (await stub.Locate(chat_pb2.LocateRequest(), metadata=metadata, timeout=5)).replica
    return found


async def has_channel(channels: RoomChannels) -> None:
    def check() -> None:
        with channels.lend() as channel:
            assert channel is not None

    await aeventually(check)


async def test_a_room_is_found_on_the_same_replica_by_everybody_and_every_replica_has_some(
    replicas: list[Replica],
) -> None:
    addresses = [replica.address for replica in replicas]
    with ManualRegistry(addresses) as one, ManualRegistry(reversed(addresses)) as other:
        async with RingChannels(one.target) as mine, RingChannels(other.target) as theirs:
            found = []
            for channels in (mine, theirs):
                await has_channel(channels)
                with channels.lend() as channel:
                    found.append(await located(channel))
    assert found[0] == found[1]
    assert set(found[0].values()) == {"r1", "r2", "r3"}


async def test_a_change_makes_another_channel_and_the_old_one_lives_as_long_as_it_is_used(
    replicas: list[Replica],
) -> None:
    addresses = [replica.address for replica in replicas]
    told = []
    with ManualRegistry(addresses[:2]) as registry:
        async with RingChannels(registry.target) as channels:
            channels.listeners.add(lambda: told.append(True))
            await has_channel(channels)
            with channels.lend() as old:
                assert set((await located(old)).values()) == {"r1", "r2"}
                told.clear()
                registry.add(addresses[2])
                await aeventually(lambda: _expect(told))
                with channels.lend() as new:
                    assert new is not old
                    assert "r3" in set((await located(new)).values())
                assert set((await located(old)).values()) == {"r1", "r2"}
            assert old is not None
            await aeventually(lambda: _expect(old.get_state() is grpc.ChannelConnectivity.SHUTDOWN))
            registry.set([])
            await aeventually(lambda: _expect_no_channel(channels))


async def test_one_channel_of_somebody_else_stays(replicas: list[Replica]) -> None:
    channel = grpc.aio.insecure_channel(replicas[0].address)
    async with RoomChannels(channel) as channels, AsyncExitStack():
        with channels.lend() as lent:
            assert lent is channel
        assert set((await located(channel)).values()) == {"r1"}
    assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_a_target_that_does_not_hash_is_told_apart_from_a_room_that_moves(replicas: list[Replica]) -> None:
    options = [("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'), ("grpc.enable_http_proxy", 0)]
    target = f"ipv4:{','.join(replica.address for replica in replicas)}"
    async with (
        RoomChannels(grpc.aio.insecure_channel(target, options)) as channels,
        ChatSession(channels, room="kitchen", name="ann") as session,
    ):
        with pytest.raises(ChatError, match="must hash by the metadata lbdemo-room"):
            async for _ in session:
                pass


def _expect_no_channel(channels: RoomChannels) -> None:
    with channels.lend() as channel:
        assert channel is None


def _expect(truth: object) -> None:
    assert truth
