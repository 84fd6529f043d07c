"""The last lines of a room, in order and bounded: what a replica remembers, what members bring along. Pure."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from protos.chat_rules import HISTORY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protos import chat_pb2

MAX_BYTES = 128 * 1024


class History:
    """Lines by id, in the order of their stamps; the oldest go first when there are too many or they are too large.

    Attributes:
        clock_us: The largest stamp that was ever here.
    """

    def __init__(self, limit: int = HISTORY, limit_bytes: int = MAX_BYTES) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._order: list[tuple[int, str]] = []
        self._lines: dict[str, chat_pb2.ChatLine] = {}
        self._bytes = 0
        self._forgotten = (0, "")
        self.clock_us = 0

    def __len__(self) -> int:
        return len(self._order)

    def get(self, id: str) -> chat_pb2.ChatLine | None:
        """The line of that id, if it is here."""
        return self._lines.get(id)

    def add(self, line: chat_pb2.ChatLine) -> bool:
        """Put a line where it belongs; False when it is here already, or older than what was forgotten."""
        place = (line.stamp_us, line.id)
        if line.id in self._lines or place <= self._forgotten:
            return False
        bisect.insort(self._order, place)
        self._lines[line.id] = line
        self._bytes += line.ByteSize()
        self.clock_us = max(self.clock_us, line.stamp_us)
        while len(self._order) > self._limit or self._bytes > self._limit_bytes:
            self._forgotten = oldest = self._order.pop(0)
            self._bytes -= self._lines.pop(oldest[1]).ByteSize()
        return line.id in self._lines

    def merge(self, lines: Iterable[chat_pb2.ChatLine]) -> list[chat_pb2.ChatLine]:
        """Add those that are not here; returns them, oldest first."""
        return [line for line in sorted(lines, key=lambda line: (line.stamp_us, line.id)) if self.add(line)]

    def newest(self, count: int) -> list[chat_pb2.ChatLine]:
        """The last so many, oldest first."""
        return [self._lines[key] for _, key in self._order[-count:]] if count else []

    def next_stamp(self, now_us: int) -> int:
        """The stamp of a line said now: the room's time never goes back, whatever clocks its replicas have."""
        return max(now_us, self.clock_us + 1)
