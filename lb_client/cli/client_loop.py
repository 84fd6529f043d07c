"""The event loop of a client process that is ours, and its place among others: by how many calls it has in flight.

With no more calls in flight than processors, an answer is dealt with on the thread on which gRPC has read it, and no
other has to wake (PollerLoop): a tenth of a call's latency, and a fifth of its CPU. With more, that thread had better
read on, while another deals with what it has read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backends import core_environment
from backends.poller_loop import PollerLoop, polled

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from lb_client.driver import Load

Result = TypeVar("Result")


def are_few(in_flight: int) -> bool:
    """Whether this process may use a processor for each of them."""
    allowed = getattr(os, "sched_getaffinity", None)
    return in_flight <= (len(allowed(0)) if allowed is not None else os.cpu_count() or 1)


def loop_for(load: Load) -> asyncio.AbstractEventLoop:
    """A loop for a process that does nothing but send such calls; whoever asks for it closes it.

    Before anything else in the process uses grpc.aio.
    """
    if load.rate is None and are_few(load.concurrency) and core_environment.is_known():
        loop = PollerLoop()
        loop.lead()
        return loop
    # Not epoll, whose timeouts are rounded up to whole milliseconds: an open loop would send each call half a
    # millisecond late. gRPC core polls its connections itself; the loop has two descriptors.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def where_answers_come(sending: Coroutine[Any, Any, Result]) -> Result:
    """Run what sends calls, and what it begins, on the thread that reads the answers, where the loop has such a one.

    The caller stays on the loop's own thread.
    """
    with polled():
        task = asyncio.create_task(sending)
    return await task


def give_way(load: Load) -> None:
    """Have the kernel let who runs go on when an answer comes, if this many calls are always in flight. Linux only.

    With more calls at once than processors, this process would run for each answer by itself, in the place of a replica
    that is about to send more: it takes up to twice the CPU a call, and two thirds of the calls a second. With few, or
    calls on schedule, it would only come later to what it waits for. A policy that somebody chose stays.
    """
    if sys.platform != "linux" or load.rate is not None or are_few(load.concurrency):
        return
    with contextlib.suppress(OSError):  # no /proc
        for thread in Path("/proc/self/task").iterdir():  # gRPC's, too: the policy is a thread's
            with contextlib.suppress(OSError):  # it has ended, or a container forbids it
                if os.sched_getscheduler(int(thread.name)) == os.SCHED_OTHER:
                    os.sched_setscheduler(int(thread.name), os.SCHED_BATCH, os.sched_param(0))
