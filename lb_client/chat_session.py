"""One person in one room, wherever the room is: joins, says, listens, and goes where the room goes. Prints nothing.

The ring_hash policy of a channel decides where the room is, by the metadata `lbdemo-room`. When the ring changes,
clients learn of it at different moments, so each asks on its newest channel which replica would get the room now
(Locate), and moves there if it is another than the one its stream is on. It brings along the lines it knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Self

import grpc
import grpc.aio

from lb_client.chat_memory import Memory
from protos import chat_pb2, chat_pb2_grpc
from protos.chat_rules import ROOM_KEY, check_line, check_name, room_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from lb_client.chat_channels import RoomChannels
    from lb_client.chat_memory import Event

    _Join = grpc.aio.StreamStreamCall[chat_pb2.FromMember, chat_pb2.ToMember]

_LOOK_EVERY_S = 1.0
# Others learn of a change somewhat later, and who was asked to move by them has not heard of it yet.
_LOOKS_AFTER_A_CHANGE_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
_LOCATE_S = 1.0
_WELCOME_S = 2.0
_GOODBYE_S = 1.0
_FIRST_TRY_S = 5.0
_TRY_S = 30.0
_SILENT_S = 1.0
_MAX_DELAY_S = 0.25
_SHORT_S = 1.0
"""A stream that ends sooner than this is no success: the next try waits longer."""
_MAX_PENDING = 200
_MAX_MOVES = 5
_MAX_MOVES_S = 15.0
_MAX_EVENTS = 1000

# What comes of a connection or a replica that is gone; anything else is an answer.
_TRY_AGAIN = frozenset(
    {
        grpc.StatusCode.OK,  # it let us go
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


class ChatError(Exception):
    """We are not in the room, and trying again would not help: one line that says why."""


class ChatSession:
    """Being in a room. `async with` it, then iterate over its events; leaving the block leaves the room.

    Args:
        channels: Where the room's calls go. They must be open for as long as the session is.
        room, name: As people write them.
        history: How many of the last lines to get on entering.

    Raises:
        BadWordError: There can be no such room or name.
        ChatError: From the iteration, when we are out for good.
    """

    def __init__(
        self,
        channels: RoomChannels,
        *,
        room: str,
        name: str,
        history: int = 20,
    ) -> None:
        self.room = check_name(room, "room")
        self.memory = Memory(check_name(name))
        self._metadata = ((ROOM_KEY, room_header(room)),)
        self._channels = channels
        self._history = history
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(_MAX_EVENTS)
        self._changed = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._leaving = self._is_over = False
        self._acknowledged = asyncio.Event()
        self._stream = _Stream()
        self._pace = _Pace()
        self._moves_s: deque[float] = deque(maxlen=_MAX_MOVES)

    async def __aenter__(self) -> Self:
        self._life = asyncio.create_task(self._live(), name=f"in {self.room!r} as {self.memory.name!r}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._life is not None  # noqa: S101 -- entered
        self.leave()
        with contextlib.suppress(asyncio.CancelledError, ChatError):
            await asyncio.wait({self._life}, timeout=2 * _GOODBYE_S)
            self._life.cancel()
            await self._life

    def __repr__(self) -> str:
        memory = self.memory
        return (
            f"<ChatSession {self.room!r} as {memory.name!r} on {memory.replica or '-'} pending={len(memory.pending)}>"
        )

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events, until we have left."""
        while (event := await self._events.get()) is not None:
            yield event
        assert self._life is not None  # noqa: S101 -- entered
        await self._life  # raises why we are out

    async def say(self, text: str) -> str:
        """Say a line; returns its id. Waits while too many are unacknowledged.

        Raises:
            BadWordError: The line is empty or too long.
        """
        line = check_line(text)
        while len(self.memory.pending) >= _MAX_PENDING and not self._is_over:
            await self._an_acknowledgement()
        line_id = self.memory.say(line)
        self._stream.unsent.append(line_id)
        self._stream.wake.set()
        return line_id

    async def all_acknowledged(self) -> None:
        """Wait until the room has every line that was said."""
        while self.memory.pending and not self._is_over:
            await self._an_acknowledgement()

    async def entered(self) -> None:
        """Wait until we are in the room, or out for good."""
        while not self.memory.replica and not self._is_over:
            await self._an_acknowledgement()

    def leave(self) -> None:
        """Leave the room; the events end soon."""
        self._leaving = True
        self._stream.goes("")

    async def _an_acknowledgement(self) -> None:
        self._acknowledged.clear()
        await self._acknowledged.wait()

    async def _live(self) -> None:
        self._channels.listeners.add(self._changed.set)
        follower = asyncio.create_task(self._follow(), name=f"follows {self.room!r}")
        try:
            await self._attend()
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
            self._channels.listeners.discard(self._changed.set)
            self._is_over = True
            self._acknowledged.set()
            if self._events.full():
                self._events.get_nowait()
            self._events.put_nowait(None)

    async def _attend(self) -> None:
        """Stream after stream, until we leave or are out."""
        failures, lost_s = 0, time.monotonic()
        while not self._leaving:
            status = await self._be_there()
            if status is None:  # left, or on the way to where the room is now
                self._expect_one_place()
                failures, lost_s = 0, time.monotonic()
                continue
            if status.code is grpc.StatusCode.UNIMPLEMENTED:
                raise ChatError(f"no chat is served there: {_told(status)}")
            if status.code not in _TRY_AGAIN:
                raise ChatError(_told(status))
            if (welcome_s := self._stream.welcome_s) is not None:
                lost_s = time.monotonic()
                failures = failures if lost_s - welcome_s < _SHORT_S else 0
            away_s = time.monotonic() - lost_s
            if away_s > (_TRY_S if self.memory.replica else _FIRST_TRY_S):
                raise ChatError(f"the room {self.room} is out of reach: {_told(status)}")
            if away_s > _SILENT_S:
                await self._tell(self.memory.lost(_told(status)))
            if failures:
                await asyncio.sleep(min(_MAX_DELAY_S, 0.005 * 2**failures))
            failures += 1

    def _expect_one_place(self) -> None:
        """A proxy or a list that does not hash would have us run after the room for ever."""
        moves_s = self._moves_s
        if not self._channels.is_ring and len(moves_s) == _MAX_MOVES and moves_s[-1] - moves_s[0] < _MAX_MOVES_S:
            raise ChatError(
                f"the calls of the room {self.room} go to several replicas: "
                f"the target must hash by the metadata {ROOM_KEY}"
            )

    async def _be_there(self) -> _Status | None:
        """One stream, from Hello to its end; None if we have left it ourselves."""
        self._stream = stream = _Stream()
        if self._leaving:
            return None
        with self._channels.lend() as channel:
            if channel is None:
                return _Status(grpc.StatusCode.UNAVAILABLE, "no healthy replica is announced")
            return await self._be_in(stream, channel)

    async def _be_in(self, stream: _Stream, channel: grpc.aio.Channel) -> _Status | None:
        call = _stub(channel).Join(metadata=self._metadata)
        reader = asyncio.create_task(self._read(call, stream))
        writer = asyncio.create_task(self._write(call, stream))
        welcomed = asyncio.create_task(stream.welcomed.wait())
        going = asyncio.create_task(stream.going.wait())
        try:
            await asyncio.wait({reader, welcomed, going}, timeout=_WELCOME_S, return_when=asyncio.FIRST_COMPLETED)
            if not reader.done() and stream.welcomed.is_set():
                await asyncio.wait({reader, going}, return_when=asyncio.FIRST_COMPLETED)
                if not reader.done():
                    await asyncio.wait({reader}, timeout=_GOODBYE_S)
            if stream.going.is_set():
                return None
            if not reader.done():
                return _Status(grpc.StatusCode.UNAVAILABLE, f"no welcome within {_WELCOME_S:g} s")
            return reader.result()
        finally:
            call.cancel()
            for task in (reader, writer, welcomed, going):
                task.cancel()
            await asyncio.gather(reader, writer, welcomed, going, return_exceptions=True)

    async def _read(self, call: _Join, stream: _Stream) -> _Status:
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                assert isinstance(message, chat_pb2.ToMember)  # noqa: S101 -- gRPC's EOF is of no type
                if message.HasField("welcome"):
                    self._pace.allow(message.welcome.burst, message.welcome.lines_per_s)
                events = self.memory.take(message, time.monotonic())
                if message.HasField("welcome"):
                    stream.unsent = deque(self.memory.pending)
                    stream.welcome_s = time.monotonic()
                    stream.welcomed.set()
                elif message.HasField("left") and message.left.moves_to:
                    self._changed.set()
                if message.WhichOneof("what") in ("line", "welcome"):
                    self._acknowledged.set()
                await self._tell(events)
        except grpc.aio.AioRpcError:
            pass  # its status is the call's
        return _Status(await call.code(), await call.details() or "")

    async def _write(self, call: _Join, stream: _Stream) -> None:
        """Hello, lines, Leave. The one writer: cancelling a write would cancel the call."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # over: told to the reader
            await call.write(chat_pb2.FromMember(hello=self.memory.hello(self._history)))
            await stream.welcomed.wait()
            while not stream.going.is_set():
                if not stream.unsent:
                    stream.wake.clear()
                    await stream.wake.wait()
                    continue
                line_id = stream.unsent.popleft()
                if line_id in self.memory.pending:
                    await self._pace.wait(stream.going)
                    say = chat_pb2.Say(id=line_id, text=self.memory.pending[line_id])
                    await call.write(chat_pb2.FromMember(say=say))
            await call.write(chat_pb2.FromMember(leave=chat_pb2.Leave(moves_to=stream.moves_to)))
            await call.done_writing()

    async def _tell(self, events: list[Event]) -> None:
        for event in events:
            await self._events.put(event)

    async def _follow(self) -> None:
        """Look where the room is: after each change of the endpoints, and now and then."""
        while True:
            with contextlib.suppress(TimeoutError):
                # Not all at once, of a process or of a room.
                pause_s = _LOOK_EVERY_S * random.uniform(0.7, 1.1)  # noqa: S311 -- no secret
                # Python 3.11's wait_for forgets that it was cancelled when the event comes in that very moment.
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            looks = _LOOKS_AFTER_A_CHANGE_S if self._changed.is_set() else (0.0,)
            self._changed.clear()
            for pause_s in looks:
                await asyncio.sleep(pause_s)
                await self._look()
            await self._tell(self.memory.overdue(time.monotonic()))

    async def _look(self) -> None:
        stream = self._stream
        if not stream.welcomed.is_set() or stream.going.is_set():
            return
        # An error means that the ring is on the move: the next look will tell.
        with contextlib.suppress(grpc.aio.AioRpcError), self._channels.lend() as channel:
            if channel is None:
                return
            request = chat_pb2.LocateRequest()
            reply = await _stub(channel).Locate(request, metadata=self._metadata, timeout=_LOCATE_S)
            if reply.replica != self.memory.replica and stream is self._stream:
                self._moves_s.append(time.monotonic())
                stream.goes(reply.replica)


class _Stream:
    """What belongs to one stream only."""

    def __init__(self) -> None:
        self.unsent: deque[str] = deque()
        self.wake = asyncio.Event()
        self.welcomed = asyncio.Event()
        self.welcome_s: float | None = None
        self.going = asyncio.Event()
        self.moves_to = ""

    def goes(self, moves_to: str) -> None:
        """End it from our side."""
        self.moves_to = moves_to
        self.going.set()
        self.wake.set()


class _Status:
    """How a stream ended."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self.code = code
        self.details = details


class _Pace:
    """Keeps within what the room allows, and below it a little: clocks differ."""

    def __init__(self) -> None:
        self._burst, self._per_s = 1.0, 1.0
        self._left, self._at_s = 1.0, 0.0

    def allow(self, burst: int, per_s: float) -> None:
        self._burst, self._per_s = max(1.0, burst * 0.7), max(0.1, per_s * 0.8)
        self._left, self._at_s = self._burst, time.monotonic()

    async def wait(self, hurry: asyncio.Event) -> None:
        """Until one more line is fine, or there is no time for it."""
        while True:
            now_s = time.monotonic()
            self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
            self._at_s = now_s
            if self._left >= 1 or hurry.is_set():
                self._left -= 1
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((1 - self._left) / self._per_s):
                    await hurry.wait()


def _told(status: _Status) -> str:
    return " ".join(status.details.split()) or status.code.name


def _stub(channel: grpc.aio.Channel) -> chat_pb2_grpc.ChatAsyncStub:
    return chat_pb2_grpc.ChatStub(channel)
