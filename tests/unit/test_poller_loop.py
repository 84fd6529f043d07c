"""Where callbacks run on the loop that lends itself to gRPC's polling thread, and whose turn it is.

A thread of ours brings it events here; for gRPC's own see tests/integration/test_calls_run_where_grpc_polls.py.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections import deque
from typing import Any

import pytest

from backends.poller_loop import PollerLoop, polled
from tests.support.eventually import eventually
from tests.support.poller import LONG_S, Poller, a_loop, happens, here, run

loop = pytest.fixture(a_loop)


def test_event_and_what_it_leads_to_run_on_the_polling_thread(loop: PollerLoop) -> None:
    async def main(poller: Poller) -> list[str]:
        threads: list[str] = []
        state: list[object] = []
        came, done = loop.create_future(), loop.create_future()

        async def servicer() -> None:
            threads.append(here())
            await came
            threads.append(here())
            state.extend((asyncio.get_running_loop(), asyncio.current_task()))
            await asyncio.create_task(child())
            threads.append(here())
            done.set_result(None)

        async def child() -> None:
            threads.append(here())

        with polled():
            task = asyncio.create_task(servicer())
        await asyncio.sleep(0)
        poller.bring(lambda: came.set_result(None))
        await done
        threads.append(here())
        assert state == [loop, task]
        return threads

    me = here()
    assert run(loop, main) == [me, "poller", "poller", "poller", me]
    assert loop.taken == 1


def test_all_of_it_has_happened_before_the_poller_polls_again(loop: PollerLoop) -> None:
    steps: list[int] = []

    async def servicer(came: asyncio.Future[None]) -> None:
        await came
        for number in range(10):
            steps.append(number)
            await asyncio.sleep(0)

    async def main(poller: Poller) -> None:
        came: asyncio.Future[None] = loop.create_future()
        with polled():
            task = asyncio.create_task(servicer(came))
        await asyncio.sleep(0)

        def bring() -> list[int]:
            poller.bring_and_wait(lambda: came.set_result(None))
            return list(steps)

        assert await asyncio.to_thread(bring) == list(range(10))
        await task

    run(loop, main)


def test_no_loop_runs_on_the_polling_thread_afterwards(loop: PollerLoop) -> None:
    found: list[object] = []

    async def main(poller: Poller) -> None:
        def bring() -> None:
            poller.bring_and_wait(lambda: found.append(asyncio._get_running_loop()))

        await asyncio.to_thread(bring)
        gone = threading.Event()

        class Looks:
            def __del__(self) -> None:  # on the polling thread, when it lets go of the event
                found.append(asyncio._get_running_loop())
                gone.set()

        poller.bring(Looks)
        assert await asyncio.to_thread(gone.wait, LONG_S)

    run(loop, main)
    assert found[0] is loop


def test_what_is_made_elsewhere_stays_on_the_loops_thread(loop: PollerLoop) -> None:
    threads: list[str] = []

    async def main(poller: Poller) -> None:
        came = loop.create_future()

        async def other() -> None:
            await came
            threads.append(here())

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        poller.bring(lambda: came.set_result(None))
        await task

    me = here()
    run(loop, main)
    assert threads == [me]


def test_one_thread_at_a_time_runs_callbacks(loop: PollerLoop) -> None:
    inside = 0
    most = 0
    threads: set[str] = set()

    def work() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threads.add(here())
        time.sleep(0.0002)  # lets the other thread run, if it may
        inside -= 1

    async def main(poller: Poller) -> None:
        done = loop.create_future()

        async def busy() -> None:
            for _ in range(200):
                work()
                await asyncio.sleep(0.0003)

        left = 300

        def event() -> None:
            nonlocal left
            work()
            left -= 1
            if left:
                poller.bring(event)
            else:
                done.set_result(None)

        poller.bring(event)
        await asyncio.gather(busy(), done)

    run(loop, main)
    assert most == 1
    assert threads == {here(), "poller"}


def test_callbacks_without_end_leave_the_poller_to_its_polling(loop: PollerLoop) -> None:
    rounds = 0

    async def main(poller: Poller) -> None:
        came, enough = loop.create_future(), asyncio.Event()

        async def servicer() -> None:
            nonlocal rounds
            await came
            while not enough.is_set():
                rounds += 1
                await asyncio.sleep(0)

        with polled():
            task = asyncio.create_task(servicer())
        await asyncio.sleep(0)
        await asyncio.to_thread(poller.bring_and_wait, lambda: came.set_result(None))
        so_far = rounds
        poller.bring(lambda: None)
        await asyncio.to_thread(poller.wait)  # it takes another
        for _ in range(1000):
            await asyncio.sleep(0)
        assert rounds > so_far + 900
        enough.set()
        await task

    run(loop, main)


def test_events_without_end_leave_the_loop_its_turn(loop: PollerLoop) -> None:
    async def main(poller: Poller) -> int:
        events = 0

        def event() -> None:
            nonlocal events
            events += 1
            if not over:
                poller.bring(event)

        over = False
        poller.bring(event)
        for _ in range(20):
            await asyncio.sleep(0.005)
        over = True
        return events

    assert run(loop, main) > 100


def test_poller_waits_for_a_busy_loop_and_runs_what_comes_itself(loop: PollerLoop) -> None:
    async def main(poller: Poller) -> str:
        ran = loop.create_future()
        poller.bring(lambda: ran.set_result(here()))
        time.sleep(0.001)  # noqa: ASYNC251 -- busy: the event comes meanwhile
        result: str = await ran
        return result

    threads = {run(loop, main) for _ in range(50)}
    assert "poller" in threads


def test_loop_that_is_stuck_does_not_hold_the_poller(loop: PollerLoop) -> None:
    async def main(poller: Poller) -> None:
        ran = loop.create_future()
        went_on = threading.Event()
        poller.bring(lambda: ran.set_result(here()))
        poller.bring(lambda: None)

        def wait() -> None:
            poller.wait()
            went_on.set()

        threading.Thread(target=wait).start()
        assert went_on.wait(LONG_S), "it waits for the loop, which waits for it"
        assert await ran == here()

    run(loop, main)


def test_loop_that_wants_its_turn_has_it_before_the_next_event(loop: PollerLoop) -> None:
    async def main(poller: Poller) -> list[str]:
        ran: list[str] = []
        done = loop.create_future()

        def heard() -> None:
            assert loop._rest.is_over

        def first() -> None:
            loop.call_soon_threadsafe(ran.append, "the loop's own")
            poller.bring(second)
            eventually(heard)

        def second() -> None:
            ran.append("the next event")
            done.set_result(None)

        await asyncio.to_thread(poller.bring_and_wait, first)
        await done
        return ran

    for _ in range(30):
        assert run(loop, main) == ["the loop's own", "the next event"]


def test_events_are_dealt_with_in_their_order(loop: PollerLoop) -> None:
    async def main(poller: Poller) -> list[int]:
        ran: list[int] = []
        done = loop.create_future()
        for number in range(20):
            poller.bring(functools.partial(ran.append, number))
        time.sleep(0.01)  # noqa: ASYNC251 -- stuck, so that the first ones are left to it
        for number in range(20, 40):
            poller.bring(functools.partial(ran.append, number))
        poller.bring(lambda: done.set_result(None))
        await done
        return ran

    assert run(loop, main) == list(range(40))


def test_event_that_was_left_to_the_loop_comes_before_the_next(loop: PollerLoop) -> None:
    class Slow(deque[Any]):
        def append(self, event: Any) -> None:
            time.sleep(0.01)  # until the loop rests again
            super().append(event)

    loop._late = Slow()

    async def main(poller: Poller) -> list[int]:
        ran: list[int] = []
        done = loop.create_future()
        poller.bring(lambda: ran.append(1))
        poller.bring(lambda: ran.append(2))
        poller.bring(lambda: done.set_result(None))
        time.sleep(0.008)  # noqa: ASYNC251 -- stuck, so that the first one is left to it
        await done
        return ran

    for _ in range(10):
        assert run(loop, main) == [1, 2]


def test_event_that_comes_on_the_poller_itself_waits_for_its_end(loop: PollerLoop) -> None:
    ran: list[str] = []

    async def main(poller: Poller) -> None:
        done = loop.create_future()

        def event() -> None:
            loop.call_soon_threadsafe(happens, inner)
            ran.append("outer")

        def inner() -> None:
            ran.append("inner")
            done.set_result(None)

        await asyncio.to_thread(poller.bring_and_wait, event)
        await done

    run(loop, main)
    assert ran == ["outer", "inner"]


def test_thread_that_runs_another_loop_takes_no_turn(loop: PollerLoop) -> None:
    async def elsewhere() -> asyncio.AbstractEventLoop:
        loop.call_soon_threadsafe(happens, lambda: ran.append(here()))
        return asyncio.get_running_loop()

    ran: list[str] = []

    async def main(_poller: Poller) -> None:
        await asyncio.to_thread(asyncio.run, elsewhere())
        await asyncio.sleep(0.01)

    run(loop, main)
    assert ran == [here()]
