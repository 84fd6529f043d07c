"""Blocking reads beside a loop, on a daemon thread: the interpreter's own pool ends before its last user does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class DaemonThread:
    """Runs functions one after the other beside the loop. A context manager: leaving it lets the thread end.

    Not `asyncio.to_thread`: its pool takes no more work once the main thread has returned, though other threads may go
    on for days. From Python 3.12 on no thread can even be started by then, so there is one from the beginning; where it
    is too late for that, functions run on the loop. And at exit nobody waits for a read that hangs.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._runs = True
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:
            self._runs = False

    def __enter__(self) -> Self:
        """The thread, which runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it end after what it does now; nobody waits for that."""
        self._work.put(None)

    async def run(self, function: Callable[[], Result]) -> Result:
        """What `function` returns or raises. Cancelling this leaves a function that has begun to itself."""
        if not self._runs:
            return function()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def settle(act: Callable[[], None]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(lambda: None if future.done() else act())

        def work() -> None:
            try:
                result = function()
            except Exception as error:  # noqa: BLE001 -- handed on to whoever waits
                raised = error
                settle(lambda: future.set_exception(raised))
            else:
                settle(lambda: future.set_result(result))

        self._work.put(work)
        return await future

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
