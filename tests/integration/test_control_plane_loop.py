"""The control plane leaves an asyncio application's calls to the application's loop, and needs nobody to go on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import lb_client
import resolver
from resolver import runtime
from resolver.loop import GLANCE_S, ControlPlaneLoop
from resolver.testing import ManualRegistry
from tests.support.backend import Backend, assert_round_robin, awho, who
from tests.support.eventually import aeventually, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc.aio

    from resolver import Snapshot


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Backend(f"b{n}")) for n in range(2)]


def _loop() -> ControlPlaneLoop:
    plane = runtime._current
    assert plane is not None
    assert isinstance(plane._loop, ControlPlaneLoop)
    return plane._loop


def _expect(*, looks_away: bool) -> None:
    assert _loop().looks_away is looks_away


async def test_calls_of_an_asyncio_application_do_not_wake_the_control_plane(backends: list[Backend]) -> None:
    with ManualRegistry([b.address for b in backends]) as registry:
        async with lb_client.aio.insecure_channel(registry.target) as channel:
            await aeventually(lambda: _awho_both(channel))
            await aeventually(lambda: _expect(looks_away=True))
            taken = 0
            loop = _loop()
            take = loop._take

            def counted() -> None:
                nonlocal taken
                taken += 1
                take()

            loop._take = counted
            began = loop.time()
            await awho(channel, 500)
            # A glance now and then; listening, it would have been woken by nearly each call.
            assert taken <= (loop.time() - began) / GLANCE_S + 1
            # What changes arrives all the same.
            registry.remove(backends[0].address)
            await aeventually(lambda: _awho_only(channel, "b1"))


async def test_a_change_is_noticed_while_the_application_s_loop_is_stuck(backends: list[Backend]) -> None:
    with ManualRegistry([b.address for b in backends]) as registry:
        async with lb_client.aio.insecure_channel(registry.target) as channel:
            await aeventually(lambda: _awho_both(channel))
            await aeventually(lambda: _expect(looks_away=True))
            noticed = threading.Event()

            def look(snapshot: Snapshot) -> None:
                if snapshot.addresses == {backends[1].address}:
                    noticed.set()

            with resolver.watch(registry.target, look):
                backends[0].set_serving(False)
                # This blocks the loop: only the control plane itself can take the health stream's message.
                assert noticed.wait(10)


def test_the_control_plane_listens_again_when_the_application_s_loop_ends(backends: list[Backend]) -> None:
    with (
        ManualRegistry([b.address for b in backends]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):

        async def application() -> None:
            async with lb_client.aio.insecure_channel(registry.target) as other:
                await aeventually(lambda: _awho_both(other))
                await aeventually(lambda: _expect(looks_away=True))

        asyncio.run(application())
        eventually(lambda: _expect(looks_away=False))
        backends[0].set_serving(False)
        eventually(lambda: assert_round_robin(who(channel, 4), ["b1"]))
        asyncio.run(_one_more(registry.target))


async def _one_more(target: str) -> None:
    async with lb_client.aio.insecure_channel(target) as channel:
        assert await awho(channel) == ["b1"]


async def _awho_both(channel: grpc.aio.Channel) -> None:
    assert_round_robin(await awho(channel, 4), ["b0", "b1"])


async def _awho_only(channel: grpc.aio.Channel, name: str) -> None:
    assert_round_robin(await awho(channel, 4), [name])
