"""`asyncio.wait` for a single task, several times as fast: gRPC's server waits so for each call, before it answers it.

The server keeps a dictionary of the calls that it is ready for, with one entry unless methods are registered with it,
and waits for the first of its keys. asyncio's takes 15 µs for that of the 380 µs that a call over loopback takes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, KeysView

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
    """As asyncio's, and by asyncio's unless it is for a dictionary's only key, a task, for as long as it takes."""
    if not isinstance(fs, _KEYS) or timeout is not None or len(fs) != 1:
        return await _asyncios(fs, timeout=timeout, return_when=return_when)
    (task,) = fs
    if type(task) is not asyncio.Task:
        return await _asyncios(fs, return_when=return_when)
    waiter = asyncio.get_running_loop().create_future()

    def wake(_task: asyncio.Task[Any]) -> None:
        if not waiter.done():  # cancelled, that is
            waiter.set_result(None)

    task.add_done_callback(wake)
    try:
        await waiter
    except BaseException:
        task.remove_done_callback(wake)
        raise
    return {task}, set()
