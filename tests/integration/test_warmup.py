from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import grpc.aio
import pytest

import lb_client.aio
from lb_client.channelz import ChannelView, open_viewed
from lb_client.tracking import SnapshotTracker
from lb_client.warmup import warm_up
from resolver.testing import ManualRegistry
from tests.support.eventually import aeventually
from tests.support.greeters import SAY_HELLO, greeters, list_target, options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def opened(target: str) -> AsyncIterator[tuple[grpc.aio.Channel, ChannelView]]:
    channel, view = open_viewed(lambda: grpc.aio.insecure_channel(target, options()))
    assert view is not None
    async with channel:
        yield channel, view


@asynccontextmanager
async def silent_port(*, accepts: bool) -> AsyncIterator[str]:
    """An address that never says anything: it accepts, or does not even do that."""
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0, backlog=1)
    port = server.sockets[0].getsockname()[1]
    if not accepts:
        server.close()
        await server.wait_closed()
    yield f"127.0.0.1:{port}"
    server.close()
    for writer in accepted:
        writer.close()


@pytest.mark.parametrize("number", [1, 3, 16])
@pytest.mark.parametrize("has_health", [True, False])
async def test_every_endpoint_is_connected_and_no_call_was_made(number: int, has_health: bool) -> None:
    async with (
        greeters(number, has_health=has_health, has_identity=False) as servers,
        opened(list_target(servers)) as (channel, view),
    ):
        warm = await warm_up(channel, view=view)
    assert warm.complete
    assert set(warm.connected) == {server.address for server in servers}
    assert (warm.missing, warm.reason) == ((), "")
    assert sum(server.calls for server in servers) == 0


async def test_next_calls_after_warm_up_are_a_whole_round() -> None:
    async with greeters(5) as servers, opened(list_target(servers)) as (channel, view):
        await warm_up(channel, view=view)
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SAY_HELLO)
        for _ in range(5):
            await call(b"")
        assert [server.calls for server in servers] == [1] * 5


async def test_address_that_refuses_is_named_and_not_waited_for() -> None:
    async with (
        silent_port(accepts=False) as refusing,
        greeters(2) as servers,
        opened(f"{list_target(servers)},{refusing}") as (channel, view),
    ):
        warm = await warm_up(channel, view=view, timeout_s=30)
    assert not warm.complete
    assert warm.missing == (refusing,)
    assert len(warm.connected) == 2
    assert warm.elapsed_s < 10


async def test_address_that_never_answers_is_waited_for_within_the_bound() -> None:
    async with (
        silent_port(accepts=True) as silent,
        greeters(2) as servers,
        opened(f"{list_target(servers)},{silent}") as (channel, view),
    ):
        warm = await warm_up(channel, view=view, timeout_s=0.3)
    assert warm.missing == (silent,)
    assert len(warm.connected) == 2
    assert 0.3 <= warm.elapsed_s < 5


async def test_nobody_there_is_told_at_once_in_grpcs_words() -> None:
    async with silent_port(accepts=False) as refusing, opened(refusing) as (channel, view):
        warm = await warm_up(channel, view=view, timeout_s=30)
    assert "refused" in warm.reason
    assert warm.elapsed_s < 10


async def test_pick_first_needs_one() -> None:
    async with greeters(3) as servers:
        target = list_target(servers)
        channel, view = open_viewed(lambda: grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]))
        async with channel:
            warm = await warm_up(channel, view=view, picks_one=True)
    assert warm.complete
    assert len(warm.connected) == 1


async def test_without_a_view_identities_have_to_do() -> None:
    async with (
        greeters(3) as servers,
        grpc.aio.insecure_channel(list_target(servers), options()) as channel,
    ):
        warm = await warm_up(channel)
    assert warm.complete
    assert warm.reason == ""


async def test_target_of_ours_waits_for_what_the_registry_names() -> None:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(greeters(4))
        registry = stack.enter_context(ManualRegistry([server.address for server in servers]))
        channel, view = open_viewed(lambda: lb_client.aio.insecure_channel(registry.target))
        await stack.enter_async_context(channel)
        tracker = SnapshotTracker(registry.target)
        stack.callback(tracker.close)
        assert view is not None
        assert await tracker.first(5) is not None
        warm = await warm_up(channel, view=view, membership=lambda: tracker.now)
        assert warm.complete
        assert set(warm.connected) == {server.address for server in servers}


async def test_view_counts_calls_and_failures_by_address() -> None:
    async with greeters(3, has_identity=False) as servers, opened(list_target(servers)) as (channel, view):
        await warm_up(channel, view=view)
        view.reset()
        servers[0].fail_every = 1
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SAY_HELLO)
        for _ in range(9):
            try:
                await call(b"")
            except grpc.aio.AioRpcError:
                continue

        def counted() -> None:
            view.look()
            found = {address: (t.started, t.failed) for address, t in view.traffic().items()}
            assert found == {s.address: (3, 3 if s is servers[0] else 0) for s in servers}

        await aeventually(counted)


async def test_view_of_a_closed_channel_is_empty() -> None:
    async with greeters(1) as servers:
        async with opened(list_target(servers)) as (channel, view):
            await warm_up(channel, view=view)
            assert view.look()

        def gone() -> None:
            assert view.look() == ()

        await aeventually(gone)
