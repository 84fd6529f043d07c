"""The two bounds of one member of a chat: what may wait to be written to it, and how much it may say."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, ClassVar

import grpc

if TYPE_CHECKING:
    from protos import chat_pb2

MAX_WAITING = 512
MAX_WAITING_BYTES = 1024 * 1024


class Refusal(Exception):  # noqa: N818 -- it is the room's word, not a fault of ours
    """Why somebody cannot be in the room, or not any more: a status for the client."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Bucket:
    """So many lines at once, and so many a second after that."""

    BURST: ClassVar[int] = 60
    PER_S: ClassVar[int] = 30

    def __init__(self) -> None:
        self._left = float(self.BURST)
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """One more; False when there is none left."""
        self._left = min(self.BURST, self._left + max(0.0, now_s - self._at_s) * self.PER_S)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Outbox:
    """What waits to be written to one member. Nobody ever waits for it: when it is full, the member is out.

    Attributes:
        ended: Done with the reason when the member is out.
    """

    def __init__(self, limit: int = MAX_WAITING, limit_bytes: int = MAX_WAITING_BYTES) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._waiting: deque[chat_pb2.ToMember] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.ended: asyncio.Future[Refusal] = asyncio.get_running_loop().create_future()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: chat_pb2.ToMember) -> None:
        """Have it written after what waits already; too much of that ends the member."""
        if self.ended.done():
            return
        if len(self._waiting) >= self._limit or self._bytes > self._limit_bytes:
            reason = f"you read too slowly: {len(self._waiting)} messages were waiting for you"
            self.end(Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, reason))
            return
        self._waiting.append(message)
        self._bytes += message.ByteSize()
        self._empty.clear()
        self._news.set()

    def end(self, why: Refusal) -> None:
        """The member is out; what waits is dropped."""
        self._waiting.clear()
        self._bytes = 0
        if not self.ended.done():
            self.ended.set_result(why)

    async def next(self) -> chat_pb2.ToMember:
        """Wait for what comes next. `written` is to be called when it was written."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        message = self._waiting.popleft()
        self._bytes -= message.ByteSize()
        return message

    def written(self) -> None:
        """The last one is on its way."""
        if not self._waiting:
            self._empty.set()

    async def emptied(self) -> None:
        """Wait until all is written."""
        await self._empty.wait()
