"""Asks the long streams of one replica to move elsewhere: when it drains, and when the cluster is rebalanced.

A stream that is asked ends with UNAVAILABLE and the trailer `lbdemo-move`, whose value is the reason. A client that
knows the trailer opens the stream again, where its channel's policy takes it; for any other it is a call to try again.
"""

from __future__ import annotations

import asyncio
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
        self._open: set[asyncio.Future[str]] = set()
        self._draining = False

    @property
    def open(self) -> int:
        """How many streams would be asked now."""
        return sum(not asked.done() for asked in self._open)

    @contextmanager
    def stream(self) -> Iterator[asyncio.Future[str]]:
        """Around the life of one stream: what is yielded gets the reason as its result when the stream is to move."""
        asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._open.add(asked)
        if self._draining:
            asked.set_result(DRAIN)
        try:
            yield asked
        finally:
            self._open.discard(asked)
            asked.cancel()

    def rebalance(self) -> int:
        """Ask the streams that are open now; returns how many were asked."""
        return self._ask(REBALANCE)

    def drain(self) -> int:
        """Ask the streams that are open now, and every one that is opened later; returns how many were asked now."""
        self._draining = True
        return self._ask(DRAIN)

    def _ask(self, reason: str) -> int:
        waiting = [asked for asked in self._open if not asked.done()]
        for asked in waiting:
            asked.set_result(reason)
        return len(waiting)
