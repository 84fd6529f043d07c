"""Waiting for truth: an assertion is tried again until it holds or its time is up."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def eventually(check: Callable[[], object], *, within_s: float = 20.0, every_s: float = 0.005) -> None:
    """Call `check` until it raises no AssertionError; raise its last one after `within_s` seconds."""
    end = time.monotonic() + within_s
    while True:
        try:
            check()
        except AssertionError:
            if time.monotonic() >= end:
                raise
            time.sleep(every_s)
        else:
            return


async def aeventually(
    check: Callable[[], object | Awaitable[object]], *, within_s: float = 20.0, every_s: float = 0.005
) -> None:
    """The same on a running loop; `check` may be a coroutine function."""
    end = time.monotonic() + within_s
    while True:
        try:
            result = check()
            if inspect.isawaitable(result):
                await result
        except AssertionError:
            if time.monotonic() >= end:
                raise
            await asyncio.sleep(every_s)
        else:
            return
