"""Asks the long streams of one replica to move elsewhere: when it drains, and when the cluster is rebalanced.

A stream that is asked ends with UNAVAILABLE and the trailer `lbdemo-move`, whose value is the reason. A client that
knows the trailer opens the stream again, where its channel's policy takes it; for any other it is a call to try again.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOVE_KEY = "lbdemo-move"
CAN_MOVE_KEY = "lbdemo-can-move"
"""A client's header: it knows what to do with the trailer. A servicer may leave others to end by themselves."""

DRAIN = "drain"
REBALANCE = "rebalance"


class StreamMoves:
    """Which streams are open, and the word to them. On the event loop only."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Future[str], int] = {}
        self._draining = False

    @property
    def open(self) -> int:
        """How many streams would be asked now."""
        return sum(not asked.done() for asked in self._open)

    @contextmanager
    def stream(self) -> Iterator[asyncio.Future[str]]:
        """Around the life of one stream: what is yielded gets the reason as its result when the stream is to move."""
        asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._open[asked] = time.monotonic_ns()
        if self._draining:
            asked.set_result(DRAIN)
        try:
            yield asked
        finally:
            del self._open[asked]
            asked.cancel()

    def rebalance(self, opened_before_ns: int = 0) -> int:
        """Ask the streams that are open now; returns how many were asked.

        Args:
            opened_before_ns: Only those that were open then, by `time.monotonic_ns()`, which all processes of a machine
                share; 0 asks all.
        """
        return self._ask(REBALANCE, opened_before_ns)

    def drain(self) -> int:
        """Ask the streams that are open now, and every one that is opened later; returns how many were asked now."""
        self._draining = True
        return self._ask(DRAIN)

    def _ask(self, reason: str, opened_before_ns: int = 0) -> int:
        waiting = [
            asked
            for asked, opened_ns in self._open.items()
            if not asked.done() and not 0 < opened_before_ns <= opened_ns
        ]
        for asked in waiting:
            asked.set_result(reason)
        return len(waiting)
