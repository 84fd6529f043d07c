"""How a replica saw its conversations end: a bounded memory of sightings. No gRPC here."""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 10_000


class Ending(enum.Enum):
    """How a conversation ended, or that it has not."""

    OPEN = "open"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    MOVED = "moved"
    REFUSED = "refused"
    FAILED = "failed"


class Sighting:
    """One conversation as the replica sees it.

    Attributes:
        ending: OPEN until it has ended.
        received: Lines read.
        sent: Lines written.
    """

    __slots__ = ("_began_s", "_clock", "_ended_s", "ending", "received", "sent")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.ending = Ending.OPEN
        self.received = 0
        self.sent = 0
        self._clock = clock
        self._began_s = clock()
        self._ended_s = 0.0

    @property
    def open_s(self) -> float:
        """Seconds that it has been open, or was."""
        return (self._clock() if self.ending is Ending.OPEN else self._ended_s) - self._began_s

    def end(self, ending: Ending) -> None:
        """It has ended so."""
        self.ending = ending
        self._ended_s = self._clock()


class Outcomes:
    """The latest `most` conversations by name; the oldest are forgotten. A name used again means the later one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._seen: dict[str, Sighting] = {}

    def add(self, conversation: str, seen: Sighting) -> None:
        """Remember a conversation that has begun."""
        self._seen.pop(conversation, None)
        self._seen[conversation] = seen
        if len(self._seen) > self._most:
            del self._seen[next(iter(self._seen))]

    def find(self, conversation: str) -> Sighting | None:
        """What became of it; None when it was never seen here, or is forgotten."""
        return self._seen.get(conversation)
