"""Issuing calls: closed loop or open loop, by count or by duration. What a call did goes to a recorder as data.

A closed loop keeps `concurrency` calls in flight: each worker sends its next call when the last one ended. An open loop
sends on schedule however slow the answers are, and measures from the scheduled moment, so that a stalled server cannot
hide behind the calls it kept from being sent (coordinated omission).
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import grpc.aio

from lb_client.attempts import Attempts
from lb_client.records import CallRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lb_client.weights import WeightBook

    Labels = Iterator[tuple[int, tuple[tuple[str, str], ...] | None]]

REPLICA_KEY = "lbdemo-replica"
ADDRESS_KEY = "lbdemo-address"
ATTEMPTS_KEY = "lbdemo-previous-attempts"

DEFAULT_BOUND = 1000
"""Calls in flight at most in an open loop, unless told otherwise."""

# Small enough that looking at a batch (0.1 ms) holds up the calls in flight by less than their own noise.
_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send.

    Attributes:
        count: So many calls, then end; None for no bound.
        duration_s: End after so many seconds; None for no bound. With both, whichever comes first.
        concurrency: Calls in flight: exactly so many in a closed loop, at most so many in an open one.
        rate: Calls per second in an open loop; None for a closed loop.
        deadline_s: Each call's deadline.
        attempt_s: Each attempt's deadline, see attempts.py; None lets a call have one attempt of ours.
    """

    count: int | None = 100
    duration_s: float | None = None
    concurrency: int = 1
    rate: float | None = None
    deadline_s: float = 5.0
    attempt_s: float | None = None

    def __post_init__(self) -> None:
        if self.count is None and self.duration_s is None:
            raise ValueError("a load needs a count, a duration or both")


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended.

    Attributes:
        begin_s: When it began (`time.monotonic`).
        elapsed_s: Until the last call had ended.
        abandoned: Calls that were cut off at the end; they are not counted as calls.
        late: Calls of an open loop that had to wait because the bound was in flight; their latency includes the wait.
        unsent: Calls of an open loop that were due within the duration and never started.
        stopped: Whether somebody ended it before its time.
    """

    begin_s: float
    elapsed_s: float
    abandoned: int = 0
    late: int = 0
    unsent: int = 0
    stopped: bool = False


class RecordTaker(Protocol):
    """Whatever takes records: a CallRecorder."""

    def add(self, record: CallRecord) -> None:
        """One call that ended."""


class CallDriver:
    """Sends one method's calls over a channel. One run each.

    Args:
        channel: A stock channel; it stays the caller's, and nothing but these calls is sent on it.
        method: `/package.Service/Method`, unary.
        request: The serialized request, the same each time.
        recorder: Gets a record of each call.
        load: How many, how fast.
        metadata: Sent with each call.
        labels: Each call's number and metadata, in place of `metadata`: an iterator that never ends.
        weights: Told of each call, and of the load that came with its answer; None where loads make no difference.

    Attributes:
        first_answer: The first answer's bytes, None while there is none.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        method: str,
        request: bytes,
        recorder: RecordTaker,
        load: Load,
        *,
        metadata: Sequence[tuple[str, str]] = (),
        labels: Labels | None = None,
        weights: WeightBook | None = None,
    ) -> None:
        self._weights = weights
        self._invoke: Any = channel.unary_unary(method)
        if load.attempt_s is not None:
            self._invoke = Attempts(self._invoke, attempt_s=load.attempt_s)
        self._request = request
        self._recorder = recorder
        self._load = load
        self._next_label = (labels or itertools.repeat((0, tuple(metadata) or None))).__next__
        self._left = load.count if load.count is not None else -1  # -1 never comes to 0
        self._end_s = float("inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._pacer: asyncio.Task[None] | None = None
        self._slot: asyncio.Future[None] | None = None
        self._ended: list[tuple[float, float, int, Any]] = []
        self._late = 0
        self._unsent = 0
        self._abandoned = 0
        self._stopped = False
        self.first_answer: bytes | None = None

    async def run(self) -> Run:
        """Send everything and return when the last call has ended. Cancelling it cuts off the calls in flight."""
        load = self._load
        begin_s = time.monotonic()
        if load.duration_s is not None:
            self._end_s = begin_s + load.duration_s
        try:
            if load.rate is not None:
                self._pacer = asyncio.create_task(self._pace(begin_s, load.rate))
                await asyncio.wait([self._pacer])
                if not self._pacer.cancelled():
                    self._pacer.result()
            else:
                workers = load.concurrency if load.count is None else min(load.concurrency, load.count)
                self._tasks = {asyncio.create_task(self._work()) for _ in range(workers)}
            while self._tasks:
                await asyncio.wait(self._tasks)
                self._tasks = {task for task in self._tasks if not task.done() or task.result()}
        finally:
            await self._end()
        elapsed_s = time.monotonic() - begin_s
        await self.flush()
        return Run(begin_s, elapsed_s, self._abandoned, self._late, self._unsent, self._stopped)

    def stop(self) -> None:
        """Start no further call; those in flight end by themselves."""
        self._stopped = True
        self._left = 0
        if self._pacer is not None:
            self._pacer.cancel()

    def finish(self) -> None:
        """Start no further call, since the time is up: the run has not been ended before it."""
        stopped = self._stopped
        self.stop()
        self._stopped = stopped

    def abort(self) -> None:
        """Cut off what is in flight."""
        for task in self._tasks:
            task.cancel()

    async def _end(self) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
        self.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        """One worker of a closed loop.

        What stands here is paid for each call, and dear: the processor has done other things since the last one. So
        ended calls are only put aside, and looked at by the batch.
        """
        clock, invoke, ended, next_label = time.monotonic, self._invoke, self._ended, self._next_label
        request, deadline_s, end_s = self._request, self._load.deadline_s, self._end_s
        try:
            while self._left:
                start_s = clock()
                if start_s >= end_s:
                    return
                self._left -= 1
                number, metadata = next_label()
                call = invoke(request, timeout=deadline_s, metadata=metadata)
                try:
                    await call
                    ended.append((start_s, clock(), number, call))
                except grpc.aio.AioRpcError as error:
                    ended.append((start_s, clock(), number, error))
                if len(ended) >= _BATCH:
                    await self.flush()
        except asyncio.CancelledError:
            self._abandoned += 1

    async def _pace(self, begin_s: float, rate: float) -> None:
        clock = time.monotonic
        # Rounded: the clock's floats make 200.00000000000003 of 0.2 s at 1,000 a second.
        span = round((self._end_s - begin_s) * rate, 6)
        due = math.ceil(span) if math.isfinite(span) else span
        number = 0
        while self._left and number < due:
            due_s = begin_s + number / rate
            number += 1
            wait_s = due_s - clock()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if len(self._tasks) >= self._load.concurrency:
                self._late += 1
                while len(self._tasks) >= self._load.concurrency:
                    self._slot = asyncio.get_running_loop().create_future()
                    await self._slot
                if clock() >= self._end_s:
                    self._unsent = math.ceil(due) - number + 1
                    return
            self._left -= 1
            task = asyncio.create_task(self._paced_call(due_s))
            self._tasks.add(task)
            task.add_done_callback(self._paced_call_ended)

    async def _paced_call(self, due_s: float) -> None:
        number, metadata = self._next_label()
        call = self._invoke(self._request, timeout=self._load.deadline_s, metadata=metadata)
        try:
            await call
            self._ended.append((due_s, time.monotonic(), number, call))
        except grpc.aio.AioRpcError as error:
            self._ended.append((due_s, time.monotonic(), number, error))
        except asyncio.CancelledError:
            self._abandoned += 1
        if len(self._ended) >= _BATCH:
            await self.flush()

    def _paced_call_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._slot is not None and not self._slot.done():
            self._slot.set_result(None)

    async def flush(self) -> None:
        """Bring the recorder up to date with the calls that have ended."""
        batch = self._ended[:]
        self._ended.clear()
        for start_s, end_s, number, call in batch:
            if isinstance(call, grpc.aio.AioRpcError):
                if self._weights is not None:
                    self._weights.add(start_s, end_s, call.trailing_metadata() or {})
                self._recorder.add(failed_call(call, start_s, end_s - start_s, number))
                continue
            # The call has ended: neither of these suspends.
            trailing = await call.trailing_metadata()
            if self._weights is not None:
                self._weights.add(start_s, end_s, trailing)
            if self.first_answer is None:
                self.first_answer = await call
            self._recorder.add(_answered_call(trailing, start_s, end_s - start_s, number))


def _answered_call(
    trailing: Iterable[tuple[str, str | bytes]], start_s: float, latency_s: float, number: int
) -> CallRecord:
    told: dict[str, Any] = {}
    # Once, not by get(): that takes a microsecond for each, and two where there is none.
    for key, value in trailing:
        told.setdefault(key, value)
    tell = told.get
    attempts = _number(tell(ATTEMPTS_KEY))
    return CallRecord(start_s, latency_s, "OK", "", tell(REPLICA_KEY, ""), tell(ADDRESS_KEY, ""), attempts, number)


def failed_call(error: grpc.aio.AioRpcError, start_s: float, latency_s: float, number: int = 0) -> CallRecord:
    """The record of a call that ended with another status than OK; a replica that answered so is named."""
    record = _answered_call(error.trailing_metadata() or (), start_s, latency_s, number)
    return record._replace(status=error.code().name, details=error.details() or "")


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else 0
