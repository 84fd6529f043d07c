"""Runs synchronous servicers on an asyncio server: threads, blocking iterators, the blocking face of the context.

grpc.aio has a migration path of its own, which is not used: there a cancelled response stream leaves its pool thread
blocked on a queue that nobody reads, for ever, and the process never exits (`generator_to_async_generator` in
grpc/_cython/_cygrpc/aio/common.pyx.pxi); and a streaming handler's first part runs on the event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

T = TypeVar("T")
_Job = tuple["concurrent.futures.Future[Any]", "Callable[..., Any]", tuple[Any, ...]]


class Threads(concurrent.futures.Executor):
    """A pool of daemon threads, started as they are needed.

    The standard pool's threads are joined at exit: one handler that never returns would keep a drained replica alive.
    """

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
        """Run `fn(*args)` on a thread. Called from the event loop's thread only; takes no keywords."""
        assert not kwargs, "nothing here passes keywords"  # noqa: S101 -- a mistake of this module's only user
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._jobs.put((future, fn, args))
        if not self._idle.acquire(blocking=False) and self._count < self._most:
            self._count += 1
            threading.Thread(target=self._work, name=f"servicer-{self._count}", daemon=True).start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 -- Executor's signature
        """Let idle threads end, and busy ones when they are done. Waits for none."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, fn, args = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args))
                except BaseException as error:  # noqa: BLE001 -- it belongs to whoever awaits the future
                    future.set_exception(error)
            del job, future, fn, args  # an idle thread keeps nothing alive
            self._idle.release()


class SyncContext:
    """The blocking face of a call's context: `grpc.ServicerContext`, used from one pool thread."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._callbacks: list[Callable[[], None]] = []
        self._active = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine on the loop, block until it is done. Raises CancelledError when the call is over."""
        if not self._active:
            coroutine.close()
            raise concurrent.futures.CancelledError
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def is_active(self) -> bool:
        """Whether the call is still on: False once it ended, was cancelled or ran out of time."""
        return self._active

    def cancel(self) -> bool:
        """End the call now, CANCELLED for the client. True if it was still on."""
        if not self._active:
            return False
        ending = self._context.abort(grpc.StatusCode.CANCELLED, "cancelled by the servicer")
        asyncio.run_coroutine_threadsafe(ending, self._loop)
        return True

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have `callback` called when the call ends. False, and not called, if it has ended."""
        if self._active:
            self._callbacks.append(callback)
        return self._active

    def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        """End the call with an error: always raises."""
        self.wait_for(self._context.abort(code, details, trailing_metadata))

    def abort_with_status(self, status: grpc.Status) -> None:
        """End the call with an error: always raises."""
        self.wait_for(self._context.abort_with_status(status))

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Send it now; blocks until it is on its way."""
        self.wait_for(self._context.send_initial_metadata(initial_metadata))

    def end(self) -> None:
        """The call is over, however it ended; what still runs in the thread learns of it at its next use of this."""
        self._active = False
        for callback in self._callbacks:
            callback()


grpc.ServicerContext.register(SyncContext)


def _blocking(requests: AsyncIterator[T], context: SyncContext) -> Iterator[T]:
    """The request stream as the blocking iterator that synchronous servicers expect."""
    following = aiter(requests)

    async def following_one() -> tuple[T] | None:
        async for request in following:
            return (request,)
        return None

    while (box := context.wait_for(following_one())) is not None:
        yield box[0]
    if not context.is_active():  # cut off is not the same as complete
        raise concurrent.futures.CancelledError


def asynchronous(
    behavior: Callable[[Any, Any], Any], threads: Threads, *, request_streaming: bool, response_streaming: bool
) -> Callable[[Any, Any], Coroutine[Any, Any, Any]]:
    """The synchronous behaviour as a coroutine function (request or stream of requests, context).

    A cancelled call ends at once for the client and the counters; its thread ends when the servicer next touches the
    context or its streams, or returns.
    """

    def run(request: Any, context: SyncContext) -> Any:
        if request_streaming:
            request = _blocking(request, context)
        responses = behavior(request, context)
        if not response_streaming:
            return responses
        try:
            for response in responses:
                context.wait_for(context.write(response))
        finally:
            # A generator is closed in the thread that ran it; a plain iterator has nothing to close.
            getattr(responses, "close", lambda: None)()
        return None

    async def call(request: Any, context: Any) -> Any:
        blocking = SyncContext(context)
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, run, request, blocking)
        finally:
            blocking.end()

    return call
