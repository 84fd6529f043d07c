"""A thread that brings events to a `PollerLoop` as gRPC's polling thread does."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any, Self

from backends.poller_loop import PollerLoop
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

LONG_S = 10.0


def a_loop() -> Iterator[PollerLoop]:
    """As a fixture: a loop to which a `Poller` brings events, closed afterwards."""
    loop = PollerLoop(happens)
    yield loop
    loop.close()


class Poller:
    """A thread that hands events to a loop as gRPC's does. A context manager."""

    def __init__(self, loop: PollerLoop) -> None:
        self._loop = loop
        self._events: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._dealt_with: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._poll, name="poller")

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._events.put(None)
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()

    def _poll(self) -> None:
        while (event := self._events.get()) is not None:
            self._loop.call_soon_threadsafe(happens, event)
            self._dealt_with.put(None)

    def bring(self, event: Callable[[], object]) -> None:
        """From any thread: an event has come."""
        self._events.put(event)

    def bring_and_wait(self, event: Callable[[], object]) -> None:
        """Not on the loop's thread: the same once the loop rests, until the poller is free again."""
        eventually(self._assert_no_turn_is_taken)
        self.bring(event)
        self.wait()

    def _assert_no_turn_is_taken(self) -> None:
        assert self._loop.rests or not self._loop.is_running()

    def wait(self) -> None:
        """Until the poller is free again."""
        self._dealt_with.get(timeout=LONG_S)


def happens(event: Callable[[], object]) -> None:
    """What the loop is told to take for gRPC's event."""
    event()


def run(loop: PollerLoop, main: Callable[[Poller], Awaitable[Any]]) -> Any:
    """What `main` returns: a coroutine function that is given the poller."""

    async def bounded(poller: Poller) -> Any:
        async with asyncio.timeout(LONG_S):
            return await main(poller)

    with Poller(loop) as poller:
        return loop.run_until_complete(bounded(poller))


def here() -> str:
    """The name of this thread."""
    return threading.current_thread().name
