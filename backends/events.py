"""What happened to a cluster: a bounded, numbered history that any number of readers follow. No gRPC here."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.transitions import News

MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent:
    """One thing that happened; the fields are those of `lbdemo.v1.ClusterEvent`.

    Attributes:
        number: From 1 on, without gaps.
        at_s: CLOCK_MONOTONIC, seconds.
        unix_s: Seconds since 1970.
        kind: starting, serving, drain-begun, drained, died, …
        replica: Its name; "" for the cluster as a whole.
        address: host:port where it serves or served.
        detail: One line, or "".
    """

    number: int
    at_s: float
    unix_s: float
    kind: str
    replica: str = ""
    address: str = ""
    detail: str = ""


class EventHistory:
    """The latest `most` events. One event loop's, once readers wait; before that anybody's.

    Args:
        clock: CLOCK_MONOTONIC, seconds.
        wall: Seconds since 1970.
        most: The oldest beyond it are forgotten; the numbers go on.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        most: int = MOST,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._events: deque[ClusterEvent] = deque(maxlen=most)
        self._last = 0
        self._news: asyncio.Future[None] | None = None

    @property
    def last(self) -> int:
        """The number of the latest event; 0 before the first."""
        return self._last

    def add(self, news: News) -> None:
        """Remember that this has just happened, and wake who waits."""
        self._last += 1
        self._events.append(
            ClusterEvent(
                number=self._last,
                at_s=self._clock(),
                unix_s=self._wall(),
                kind=news.kind,
                replica=news.replica,
                address=news.address,
                detail=news.detail,
            )
        )
        self.wake()

    def after(self, number: int) -> list[ClusterEvent]:
        """All that are remembered of those with higher numbers, in their order."""
        missing = self._last - max(number, self._last - len(self._events))
        return list(islice(self._events, len(self._events) - missing, None)) if missing > 0 else []

    def wake(self) -> None:
        """Let who waits look again."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
        self._news = None

    async def wait(self) -> None:
        """Return after the next event, or `wake`."""
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._news)
