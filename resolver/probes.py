"""Whether a server that said it is well still answers: a question now and then beside its Watch stream, see health.py.

A process that is frozen, or behind a network that swallows packets, says nothing, and a Watch stream that brings no
news looks like one that has none. HTTP/2 pings would tell, but a server permits one in five minutes unless it was told
otherwise, and sends away who asks more often (`too_many_pings`, gRFC A8); its kernel, on the other hand, accepts and
acknowledges everything. So the question is a call that any server takes, `Health/Check`.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from resolver.model import Health, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Probe = Callable[[], Awaitable[bool | None]]

ANSWER_S = 1.0
"""Who has not answered by then is silent: even a busy server tells its health sooner."""

EVERY_S = 0.75
"""Between two questions to one server. With the wait for the answer, a silent one gets no new call after 2 seconds."""

MOST_PER_S = 100.0
"""Questions of one process at most, some hundredths of a processor: more than 75 servers are asked less often."""

_TOGETHER = 8
"""Servers that are asked at the same moment. A question that comes alone wakes a thread of ours and four of core's, for
2.5 ms of a processor; one that finds them awake costs 0.6 ms. And the answers of so few are soon read."""

_STOPPED_S = 0.5
"""An answer so much later than its deadline was not waited for: this process itself stood still."""


@dataclass(slots=True)
class Pace:
    """How often each server is asked, so that all together are not asked too often. One for all checks of a process.

    Questions are asked on a beat, those to a few servers together; each process has a beat of its own.

    Attributes:
        asked: How many servers are asked now.
    """

    asked: int = 0
    jitter: random.Random = field(default_factory=random.Random, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _begin_s: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._begin_s = self.clock() - self.jitter.uniform(0, EVERY_S)

    @property
    def _beats(self) -> int:
        """In one interval."""
        return max(1, math.ceil(self.asked / _TOGETHER))

    def interval_s(self) -> float:
        """Between two questions to one server, at most."""
        return max(EVERY_S, self.asked / MOST_PER_S)

    def first_s(self) -> float:
        """Until the first question: at any beat of an interval, since many servers join at once."""
        return self._until_beat(self.jitter.randint(1, self._beats))

    def next_s(self) -> float:
        """Until the next question, after an answer: the same beat of the next interval."""
        return self._until_beat(self._beats)

    def again_s(self) -> float:
        """Until the next question after one that was not answered, which took its time already."""
        return max(0.0, self.interval_s() - ANSWER_S)

    def _until_beat(self, number: int) -> float:
        beat_s = self.interval_s() / self._beats
        if not beat_s:
            return 0.0
        passed_s = self.clock() - self._begin_s
        return (passed_s // beat_s + number) * beat_s - passed_s


def health_probe(channel: grpc.aio.Channel, service: str) -> Probe:
    """Asks once by `Health/Check` on the connection of the Watch stream.

    True: there was an answer, whatever it says; what the server says of itself is the stream's to tell. False: none.
    None: the server does not know the question, and need not be asked again.
    """
    check: grpc.aio.UnaryUnaryMultiCallable[Any, bytes] = channel.unary_unary(
        "/grpc.health.v1.Health/Check", request_serializer=health_pb2.HealthCheckRequest.SerializeToString
    )

    async def probe() -> bool | None:
        began_s = time.monotonic()
        try:
            await check(health_pb2.HealthCheckRequest(service=service), timeout=ANSWER_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return time.monotonic() - began_s > ANSWER_S + _STOPPED_S
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return None
        return True

    return probe


async def attended(verdicts: AsyncGenerator[Verdict, None], probe: Probe, pace: Pace) -> AsyncGenerator[Verdict, None]:
    """The verdicts as they come, and between them that the server is silent, and its last verdict when it is not.

    Nobody is asked who is not well: whatever makes it well again will be a verdict. To be closed with `aclose()`.
    """
    stream: asyncio.Task[Verdict] | None = None
    asking: asyncio.Task[bool | None] | None = None
    last: Verdict | None = None
    silent = False
    pace.asked += 1
    try:
        while True:
            stream = stream or asyncio.create_task(_next(verdicts), name="health watch")
            await asyncio.wait({stream, asking} if asking else {stream}, return_when=asyncio.FIRST_COMPLETED)
            if stream.done():
                try:
                    last = stream.result()
                except StopAsyncIteration:
                    return
                stream = None
                if asking:
                    asking.cancel()
                silent = False
                asking = _ask(probe, pace.first_s()) if last.health is Health.HEALTHY else None
                yield last
            elif asking and last:
                answered, asking = asking.result(), None
                if answered is not None:
                    asking = _ask(probe, pace.next_s() if answered else pace.again_s())
                if silent is not (answered is False):
                    silent = not silent
                    yield Verdict(Health.UNHEALTHY, "it does not answer", silent=True) if silent else last
    finally:
        pace.asked -= 1
        left = [task for task in (stream, asking) if task]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await verdicts.aclose()


async def _next(verdicts: AsyncGenerator[Verdict, None]) -> Verdict:
    return await anext(verdicts)


def _ask(probe: Probe, after_s: float) -> asyncio.Task[bool | None]:
    async def ask() -> bool | None:
        await asyncio.sleep(after_s)
        return await probe()

    return asyncio.create_task(ask(), name="health probe")
