"""The control plane leaves an asyncio application's calls to the application's loop, and needs nobody to go on."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

import lb_client
import resolver
from resolver import runtime
from resolver.loop import _SOON_S, GLANCE_S, ControlPlaneLoop
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


class PollerCompletionQueue:
    """Named as gRPC's, by which the loop knows it."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.taken = 0

    def take(self, _loop: object) -> None:
        self.taken += len(self.ours.recv(4096))

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


class RunningLoop:
    """One of the application, as far as this matters."""

    def __init__(self) -> None:
        self.closed = False

    def is_running(self) -> bool:
        return not self.closed

    def is_closed(self) -> bool:
        return self.closed


@pytest.fixture
def away() -> Iterator[tuple[ControlPlaneLoop, PollerCompletionQueue, RunningLoop]]:
    """A loop that looks away, since another runs."""
    loop, queue, other = ControlPlaneLoop(), PollerCompletionQueue(), RunningLoop()
    with closing(loop), closing(queue):
        loop.add_reader(queue.ours, functools.partial(queue.take, None))
        loop.share_with(other)  # type: ignore[arg-type]  # all that it is asked
        loop._glance()
        assert loop.looks_away
        yield loop, queue, other
        loop.remove_reader(queue.ours)


Away = tuple[ControlPlaneLoop, PollerCompletionQueue, RunningLoop]


def _next_s(loop: ControlPlaneLoop) -> float:
    assert loop._next is not None
    return loop._next.when() - loop.time()


def test_a_glance_that_found_something_is_followed_by_another_soon(away: Away) -> None:
    loop, queue, _ = away
    assert _SOON_S < _next_s(loop) <= GLANCE_S
    queue.theirs.send(b"11")
    loop._glance()
    assert queue.taken == 2
    assert _next_s(loop) <= _SOON_S
    loop._glance()
    assert _next_s(loop) > _SOON_S


def test_loops_that_come_one_after_the_other_do_not_put_off_the_glance(away: Away) -> None:
    loop, _, other = away
    loop.share_with(other)  # type: ignore[arg-type]  # as above
    assert _next_s(loop) <= _SOON_S
    due = loop._next
    loop.share_with(other)  # type: ignore[arg-type]  # as above
    assert loop._next is due


def test_it_listens_again_even_if_the_other_ends_in_the_middle_of_a_glance(away: Away) -> None:
    loop, queue, other = away
    queue.theirs.send(b"1")
    loop._take = lambda: setattr(other, "closed", True)
    loop._glance()
    assert loop.looks_away
    assert _next_s(loop) <= GLANCE_S
    loop._glance()
    assert not loop.looks_away


def test_only_an_event_may_come_for_a_loop_that_is_closed() -> None:
    loop = ControlPlaneLoop()
    loop.close()

    def _handle_callback_wrapper() -> None:
        """Named as gRPC's."""

    loop.call_soon_threadsafe(_handle_callback_wrapper)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon_threadsafe(print)
