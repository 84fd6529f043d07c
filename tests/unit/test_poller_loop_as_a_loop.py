"""What asyncio promises of a loop holds while callbacks run on the polling thread."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from backends.poller_loop import PollerLoop, polled
from tests.support.poller import LONG_S, Poller, a_loop, happens, here, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


loop = pytest.fixture(a_loop)


@pytest.mark.parametrize("other_timer", [False, True], ids=["the only one", "sooner than another"])
def test_timer_that_is_set_on_the_polling_thread_is_kept(loop: PollerLoop, other_timer: bool) -> None:
    async def main(poller: Poller) -> float:
        came, over = loop.create_future(), loop.create_future()

        async def servicer() -> None:
            await came
            assert here() == "poller"
            began_s = loop.time()
            await asyncio.sleep(0.05)
            over.set_result(loop.time() - began_s)

        with polled():
            task = asyncio.create_task(servicer())
        if other_timer:
            loop.call_later(5.0, lambda: None)
        await asyncio.sleep(0)
        poller.bring(lambda: came.set_result(None))
        slept_s: float = await over
        await task
        return slept_s

    with Poller(loop) as poller:
        slept_s = loop.run_until_complete(main(poller))  # with no timer of the test's own
    assert 0.05 <= slept_s < 3.0


def test_exit_in_a_callback_ends_the_loop_with_it(loop: PollerLoop) -> None:
    async def main(poller: Poller) -> None:
        def leave() -> None:
            raise SystemExit(7)

        poller.bring(leave)
        await asyncio.Event().wait()

    with pytest.raises(SystemExit) as left:
        run(loop, main)
    assert left.value.code == 7
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))


def test_what_follows_an_exit_runs_when_the_loop_goes_on(loop: PollerLoop) -> None:
    ran: list[int] = []

    def event() -> None:
        with polled():
            for number in range(200):
                loop.call_soon(leave if number == 150 else functools.partial(ran.append, number))

    def leave() -> None:
        raise SystemExit(7)

    with Poller(loop) as poller:
        loop.call_soon(poller.bring, event)
        with pytest.raises(SystemExit):
            loop.run_forever()
        assert ran == list(range(150))
        loop.run_until_complete(asyncio.sleep(0.01))
    assert ran == [*range(150), *range(151, 200)]


def test_loop_can_be_stopped_from_the_polling_thread(loop: PollerLoop) -> None:
    with Poller(loop) as poller:
        loop.call_soon(poller.bring, loop.stop)
        loop.run_forever()
    assert loop.taken == 1


def test_descriptor_that_is_watched_from_the_polling_thread(loop: PollerLoop) -> None:
    ours, theirs = socket.socketpair()

    async def main(poller: Poller) -> tuple[bytes, str]:
        came = loop.create_future()

        def read() -> None:
            loop.remove_reader(ours)
            came.set_result((ours.recv(10), here()))

        await asyncio.to_thread(poller.bring_and_wait, lambda: loop.add_reader(ours, read))
        theirs.send(b"word")
        result: tuple[bytes, str] = await came
        return result

    with ours, theirs:
        assert run(loop, main) == (b"word", here())


def test_descriptor_that_changes_hands_while_it_is_ready(loop: PollerLoop) -> None:
    ours, theirs = socket.socketpair()

    async def main(poller: Poller) -> bytes:
        came = loop.create_future()
        loop.add_reader(ours, lambda: pytest.fail("it was removed"))

        def event() -> None:
            theirs.send(b"word")
            time.sleep(0.01)  # until the loop's thread has seen it, and waits for its turn
            loop.remove_reader(ours)
            loop.add_reader(ours, read)

        def read() -> None:
            loop.remove_reader(ours)
            came.set_result(ours.recv(10))

        await asyncio.to_thread(poller.bring_and_wait, event)
        result: bytes = await came
        return result

    with ours, theirs:
        assert run(loop, main) == b"word"


def test_generators_of_every_polling_thread_are_the_loops(loop: PollerLoop) -> None:
    for _ in range(3):
        hooks = run(loop, _hooks_of_the_poller)
        assert hooks.firstiter is not None
        assert hooks.finalizer is not None


async def _hooks_of_the_poller(poller: Poller) -> Any:
    seen: list[Any] = []
    await asyncio.to_thread(poller.bring_and_wait, lambda: seen.append(sys.get_asyncgen_hooks()))
    return seen[0]


def test_asynchronous_generator_that_is_dropped_there_is_closed(loop: PollerLoop) -> None:
    closed = threading.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.set()

    async def main(poller: Poller) -> None:
        came = loop.create_future()

        async def servicer() -> None:
            await came
            assert here() == "poller"
            async for _ in numbers():
                break
            gc.collect()

        with polled():
            task = asyncio.create_task(servicer())
        await asyncio.sleep(0)
        poller.bring(lambda: came.set_result(None))
        await task
        assert await asyncio.to_thread(closed.wait, LONG_S)

    run(loop, main)


def test_signal_is_heard_between_events(loop: PollerLoop) -> None:
    async def main(poller: Poller) -> str:
        heard = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, lambda: heard.set_result(here()))

        def event() -> None:
            if not heard.done():
                poller.bring(event)

        poller.bring(event)
        loop.call_later(0.02, os.kill, os.getpid(), signal.SIGUSR1)
        result: str = await heard
        loop.remove_signal_handler(signal.SIGUSR1)
        return result

    assert run(loop, main) == here()


def test_keyboard_interrupt_ends_the_loop_in_order(loop: PollerLoop) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Poller(loop) as poller:

            def event() -> None:
                time.sleep(0.001)
                if not over.is_set():
                    poller.bring(event)

            over = threading.Event()
            poller.bring(event)
            timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(asyncio.Event().wait())
            timer.join()
            over.set()
            taken = loop.taken
            poller.bring_and_wait(lambda: None)
            assert loop.taken == taken, "an event ran on a loop that does not run"
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0.01))
    finally:
        signal.signal(signal.SIGINT, before)


class _InterruptedTurn:
    """A lock at which a signal comes at the worst moment, once."""

    def __init__(self, loop: PollerLoop, moment: str) -> None:
        self._lock: Any = threading.RLock()
        self._moment = moment
        self._calls = 0
        loop._turn = loop._rest._turn = self  # type: ignore[assignment]

    def acquire(self, *args: Any, **options: Any) -> bool:
        self._interrupt("before it is taken back")
        taken: bool = self._lock.acquire(*args, **options)
        self._interrupt("after it is taken back")
        return taken

    def release(self) -> None:
        self._lock.release()
        self._interrupt("after it is given")

    def _is_owned(self) -> bool:
        owned: bool = self._lock._is_owned()
        return owned

    def _interrupt(self, moment: str) -> None:
        if moment == self._moment:
            self._calls += 1
            if self._calls == (1 if moment == "after it is given" else 2):  # the first one begins the run
                signal.raise_signal(signal.SIGINT)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@pytest.mark.parametrize("moment", ["after it is given", "before it is taken back", "after it is taken back"])
def test_keyboard_interrupt_leaves_the_turn_in_order(loop: PollerLoop, moment: str) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    turn = _InterruptedTurn(loop, moment)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.sleep(0.02))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not turn._is_owned()
    assert not loop.rests
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))


def test_loop_that_runs_cannot_be_run_again(loop: PollerLoop) -> None:
    async def main(_poller: Poller) -> None:
        loop.run_forever()

    with pytest.raises(RuntimeError, match="already running"):
        run(loop, main)


def test_event_for_a_loop_that_does_not_run_waits_for_it(loop: PollerLoop) -> None:
    ran: list[str] = []
    with Poller(loop) as poller:
        poller.bring_and_wait(lambda: ran.append(here()))
        assert ran == []
        loop.run_until_complete(asyncio.sleep(0.01))
    assert ran == [here()]


def test_event_for_a_closed_loop_comes_to_nothing() -> None:
    loop = PollerLoop(happens)
    loop.close()
    with Poller(loop) as poller:
        poller.bring_and_wait(lambda: pytest.fail("it ran"))


def test_other_threads_calls_run_on_the_loops_thread(loop: PollerLoop) -> None:
    async def main(_poller: Poller) -> str:
        ran = loop.create_future()
        await asyncio.to_thread(loop.call_soon_threadsafe, lambda: ran.set_result(here()))
        result: str = await ran
        return result

    assert run(loop, main) == here()
    assert loop.taken == 0


def test_in_debug_mode_nothing_runs_on_the_polling_thread(loop: PollerLoop) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = LONG_S

    async def main(poller: Poller) -> str:
        ran = loop.create_future()
        poller.bring(lambda: ran.set_result(here()))
        result: str = await ran
        return result

    assert run(loop, main) == here()


def test_grpc_is_left_its_way_in_debug_mode(loop: PollerLoop) -> None:
    class PollerCompletionQueue:
        def handle_events(self, _loop: object) -> None:
            """As gRPC's."""

    ours, theirs = socket.socketpair()
    reader = functools.partial(PollerCompletionQueue().handle_events, loop)
    with ours, theirs:
        with pytest.raises(NotImplementedError):
            loop.add_reader(ours, reader)
        loop.set_debug(True)
        loop.add_reader(ours, reader)
        assert loop.remove_reader(ours)
