"""Blocking reads beside a loop, on daemon threads: the interpreter's own pool ends before its last user does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


async def in_daemon_thread(function: Callable[[], Result]) -> Result:
    """What `function` returns or raises, while the loop goes on.

    Not `asyncio.to_thread`: its pool takes no more work once the main thread has returned, though other threads may go
    on for days, and at exit it waits for a read that hangs. Cancelling this leaves such a read to itself.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # it is a Result where there is no error

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as raised:  # noqa: BLE001 -- handed on to whoever waits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="lbdemo read", daemon=True).start()
    return await future
