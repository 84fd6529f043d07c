"""One conversation with the lab's Conversation service, of any shape: what is written and read, when, and where."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from lb_client.moving import TRIES
from lb_client.script import Home, Kind, Mode, Moment, Script
from lb_client.streams import MovingStream
from protos import conversation_pb2, conversation_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lb_client.moving import Move

    Line = conversation_pb2.Line

REPLICA_KEY, ADDRESS_KEY = "lbdemo-replica", "lbdemo-address"

_MOST = 1_000_000
"""Unanswered lines that are kept: more than a replica collects, so that it is the replica that refuses."""


@dataclass(slots=True)
class Gate:
    """Holds early streams until all are open, so that so many are open at once."""

    expected: int
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    async def arrive(self) -> None:
        """One more; wait for the others."""
        self.leave()
        await self._open.wait()

    def leave(self) -> None:
        """One more, who does not wait."""
        self.expected -= 1
        if self.expected <= 0:
            self._open.set()


class Talk:
    """One conversation. `run` holds it; afterwards its attributes tell what became of it.

    Attributes:
        name: What both sides call it.
        homes: Where it was, in order.
        moves: Why it went from one to the next.
        status: The status' name; "" while it goes on.
        details: The status' words.
        elapsed_s: From opening to end.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        script: Script,
        name: str,
        *,
        tell: Callable[[Moment], None] | None = None,
        gate: Gate | None = None,
        left: Callable[[Home, str], object] | None = None,
    ) -> None:
        self.name = name
        self.homes = [Home()]
        self.moves: list[Move] = []
        self.status = self.details = ""
        self.elapsed_s = 0.0
        self._script = script
        self._method = getattr(conversation_pb2_grpc.ConversationStub(channel), script.mode.method)
        self._tell = tell
        self._gate = gate
        self._left = left
        self._stop = asyncio.Event()
        self._cancelled = False
        self._ahead: asyncio.Task[Line | None] | None = None
        self._watching: set[asyncio.Task[None]] = set()
        self._stream: MovingStream[Line, Line] | None = None

    @property
    def sent(self) -> int:
        """Lines written."""
        return sum(home.sent for home in self.homes)

    @property
    def received(self) -> int:
        """Lines read."""
        return sum(home.received for home in self.homes)

    @property
    def failed(self) -> bool:
        """Whether it ended in another way than its mode asks for."""
        return self.status != self._script.mode.status

    def stop(self) -> None:
        """Write no more; what was written is still answered."""
        self._stop.set()

    def cut(self) -> None:
        """End it now."""
        self._stop.set()
        self._cancelled = True
        if self._stream is not None:
            self._stream.cancel()

    async def run(self) -> None:
        """Hold it, to its end."""
        script = self._script
        self._began_s = time.monotonic()
        self._tell_of(Kind.OPENED)
        stream = MovingStream(
            self._method,
            number_of_request=_number,
            number_of_answer=_number if script.mode is not Mode.INDEPENDENT else _no_number,
            timeout=script.deadline_s,
            metadata=script.metadata,
            tries=TRIES if script.moves and script.mode.can_move else 0,
            most=script.count or _MOST,
            on_move=self._moved,
        )
        self._stream = stream
        self._watch()
        try:
            async with stream:
                try:
                    await self._shape(stream)
                    self.status = "OK"
                finally:
                    await self._end_tasks()
        except grpc.aio.AioRpcError as error:
            self.status, self.details = error.code().name, error.details() or ""
            self._learn(dict(tuple(error.trailing_metadata() or ())))
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
            self.status, self.details = "CANCELLED", "by the client"
        finally:
            if self._gate is not None:
                self._gate.leave()
                self._gate = None
            self.elapsed_s = time.monotonic() - self._began_s
        self._tell_of(Kind.ENDED, text=f"{self.status} {self.details}".rstrip())

    async def _shape(self, stream: MovingStream[Line, Line]) -> None:
        if self._script.mode is Mode.METADATA_FIRST:
            await asyncio.wait(self._watching)
        if self._script.mode in (Mode.COLLECT, Mode.INDEPENDENT, Mode.SERVER_CLOSES):
            await self._both_ways(stream)
        else:
            await self._in_turn(stream)

    async def _in_turn(self, stream: MovingStream[Line, Line]) -> None:
        mode = self._script.mode
        for number in self._numbers():
            await self._write(stream, number)
            if not await self._read(stream):
                return
            if self._gate is not None:
                gate, self._gate = self._gate, None
                await gate.arrive()
            await self._pause(stream)
            if self._ahead is not None and self._ahead.done() and not await self._read(stream):
                return
        if mode is Mode.CANCEL:
            self._cancelled = True
            self._tell_of(Kind.CANCELLED)
            stream.cancel()
        elif mode is not Mode.DEADLINE or self._stop.is_set():
            await self._close(stream)
        while await self._read(stream):
            pass

    async def _both_ways(self, stream: MovingStream[Line, Line]) -> None:
        writing = asyncio.create_task(self._write_all(stream), name="conversation writer")
        try:
            while await self._read(stream):
                pass
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError, asyncio.InvalidStateError):
                await writing

    async def _write_all(self, stream: MovingStream[Line, Line]) -> None:
        for number in self._numbers():
            try:
                await self._write(stream, number)
            except asyncio.InvalidStateError:
                return  # the server has ended the stream, which the reader tells
            if self._script.interval_s:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._script.interval_s):
                        await self._stop.wait()
        await self._close(stream)

    def _numbers(self) -> Iterator[int]:
        script, number = self._script, 0
        while not self._stop.is_set():
            number += 1
            # Who is told by the server when to stop has no bound of its own.
            if script.mode is not Mode.SERVER_CLOSES and script.count is not None and number > script.count:
                return
            if script.duration_s is not None and time.monotonic() - self._began_s >= script.duration_s:
                return
            yield number

    async def _write(self, stream: MovingStream[Line, Line], number: int) -> None:
        script = self._script
        line = conversation_pb2.Line(conversation=self.name, number=number, text=script.text)
        if number == 1:
            line.count, line.delay_ms = script.count or 0, round(script.delay_s * 1000)
        home = self.homes[-1]
        if self._tell is not None:
            self._tell_of(Kind.WROTE, number=number, text=script.text)
        await stream.write(line)
        home.sent += 1

    async def _read(self, stream: MovingStream[Line, Line]) -> bool:
        """Read a line; False when the server has ended the stream with OK."""
        ahead, self._ahead = self._ahead, None
        line = await (ahead or stream.read())
        if line is None:
            return False
        self.homes[-1].received += 1
        if self._tell is not None:
            self._tell_of(Kind.READ, number=line.number, text=line.text)
        return True

    async def _pause(self, stream: MovingStream[Line, Line]) -> None:
        """Wait, and read meanwhile: only a stream that is read can move."""
        if not self._script.interval_s:
            return
        self._ahead = asyncio.create_task(stream.read(), name="conversation reader")
        stopped = asyncio.create_task(self._stop.wait(), name="conversation stop")
        await asyncio.wait({self._ahead, stopped}, timeout=self._script.interval_s, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()

    async def _close(self, stream: MovingStream[Line, Line]) -> None:
        self._tell_of(Kind.CLOSED)
        await stream.done_writing()

    def _moved(self, move: Move) -> None:
        self._learn({REPLICA_KEY: move.replica, ADDRESS_KEY: move.address})
        self.moves.append(move)
        if self._left is not None and self.homes[-1].address:
            self._left(self.homes[-1], self.name)
        self._tell_of(Kind.MOVED, number=move.unacknowledged, text=move.reason)
        self.homes.append(Home())
        self._watch()

    def _watch(self) -> None:
        """Tell when it is known who answers."""
        assert self._stream is not None or not self.moves  # noqa: S101 -- a mistake of this class
        task = asyncio.create_task(self._metadata(self.homes[-1]), name="conversation metadata")
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _metadata(self, home: Home) -> None:
        if self._stream is None:
            return
        found: dict[str, Any] = dict(tuple(await self._stream.call.initial_metadata() or ()))
        if home is self.homes[-1] and REPLICA_KEY in found:
            self._learn(found)
            self._tell_of(Kind.METADATA)

    def _learn(self, metadata: dict[str, Any]) -> None:
        home = self.homes[-1]
        home.replica = home.replica or str(metadata.get(REPLICA_KEY, ""))
        home.address = home.address or str(metadata.get(ADDRESS_KEY, ""))

    async def _end_tasks(self) -> None:
        tasks = [*self._watching, *([self._ahead] if self._ahead is not None else [])]
        self._ahead = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tell_of(self, kind: Kind, *, number: int = 0, text: str = "") -> None:
        if self._tell is not None:
            self._tell(Moment(time.monotonic() - self._began_s, kind, self.homes[-1], number, text))


def _number(line: Line) -> int:
    return line.number


def _no_number(_line: Line) -> None:
    return None
