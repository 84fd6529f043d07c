"""`asyncio.wait` for a single task, several times as fast: gRPC's server waits so for each call, before it answers it.

The server keeps a dictionary of the calls that it is ready for, with one entry unless methods are registered with it,
and waits for the first of its keys. asyncio's takes 15 µs for that of the 380 µs that a call over loopback takes.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import CoroutineType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, KeysView
    from contextvars import Context

_PYTHONS = CoroutineType
"""gRPC's coroutines, which are Cython's, are of another type."""

_KEYS: type[KeysView[Any]] = type({}.keys())
_asyncios = asyncio.wait


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Within the block whoever calls `asyncio.wait` calls the one below. For a process that is ours alone."""
    asyncio.wait = wait  # type: ignore[assignment]
    try:
        yield
    finally:
        asyncio.wait = _asyncios


async def wait(
    fs: Iterable[asyncio.Task[Any]],
    *,
    timeout: float | None = None,  # noqa: ASYNC109 -- asyncio's signature
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[set[asyncio.Task[Any]], set[asyncio.Task[Any]]]:
    """As asyncio's, and by asyncio's unless it is for a dictionary's only key, a task of gRPC's, however long it takes.

    How it ended counts as looked at, as gRPC does next: Python will not say that its error was never retrieved.
    """
    if not isinstance(fs, _KEYS) or timeout is not None or len(fs) != 1:
        return await _asyncios(fs, timeout=timeout, return_when=return_when)
    (task,) = fs
    if type(task) is not asyncio.Task or type(task.get_coro()) is _PYTHONS:
        return await _asyncios(fs, return_when=return_when)
    await _End(task)
    return {task}, set()


class _End:
    """The end of a task as a future that lasts as long and is cancelled without it; who awaits it gets no result.

    What a task may await that is no `asyncio.Future` has this protocol. One awaits it, once.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_is_cancelled", "_task", "_wake")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._asyncio_future_blocking = True
        self._is_cancelled = False

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self
        except BaseException:
            # The task's own, that is: who is woken by a future gets what ended it.
            if self._is_cancelled or not self._task.done():
                raise
            del self  # the error knows this frame, this the task, and the task the error

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._task.get_loop()

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context) -> None:
        self._wake, self._context = wake, context
        self._task.add_done_callback(wake, context=context)

    def cancel(self, msg: Any = None) -> bool:
        """As a future's: whether this will wake who awaits it. If not, the task has, by its end."""
        self._is_cancelled = True
        if not self._task.remove_done_callback(self._wake):
            return False
        loop = self.get_loop()
        cancelled = loop.create_future()
        cancelled.cancel(msg)
        loop.call_soon(self._wake, cancelled, context=self._context)
        return True
