"""Does to calls what a Fault says: answers late, or with an error. Which calls, dispatch.py knows."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from backends.fault import Fault

DETAILS = "on purpose: lbdemo fault"


class Striker:
    """A fault at work on one replica.

    Args:
        fault: What it does.
        chance: Evenly from 0 to 1, for each call anew.
        clock: For its end.
    """

    def __init__(
        self,
        fault: Fault,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fault = fault
        self._chance = chance
        self._clock = clock
        self._end = clock() + fault.for_ms / 1000 if fault.for_ms else None
        self._code = grpc.StatusCode[fault.error] if fault.error else None

    @property
    def over(self) -> bool:
        """Whether its time is up."""
        return self._end is not None and self._clock() >= self._end

    async def strike(self, context: Any) -> None:
        """Let a call pass late, or end it: aborting does not return."""
        fault = self.fault
        if self.over or (fault.rate < 1 and self._chance() >= fault.rate):
            return
        delay_ms = fault.latency_ms + fault.jitter_ms * self._chance()
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        if self._code is not None:
            await context.abort(self._code, DETAILS)


def faulty(behavior: Callable[..., Any], striker: Striker, *, initial_metadata: bool) -> Callable[..., Any]:
    """An asyncio behaviour of any kind, struck before it sees its call.

    Args:
        behavior: A coroutine function or an async generator function (request, context).
        striker: What strikes.
        initial_metadata: Send it once the call has passed. Not before: after it, an error could not be retried.
    """
    if inspect.isasyncgenfunction(behavior):

        async def generate(request: Any, context: Any) -> AsyncIterator[Any]:
            await striker.strike(context)
            if initial_metadata:
                await context.send_initial_metadata(())
            async for message in behavior(request, context):
                yield message

        return generate

    async def answer(request: Any, context: Any) -> Any:
        await striker.strike(context)
        if initial_metadata:
            await context.send_initial_metadata(())
        return await behavior(request, context)

    return answer
