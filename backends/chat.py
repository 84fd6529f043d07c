"""The Chat service of one replica: streams in and out of the rooms of chat_room.py, their ends as statuses."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from backends.chat_outbox import Outbox, Refusal
from backends.chat_room import Rooms
from backends.moves import MOVE_KEY
from protos import chat_pb2, chat_pb2_grpc
from protos.chat_rules import ROOM_KEY, BadWordError, room_of_header

if TYPE_CHECKING:
    from backends.chat_room import Member, Room
    from backends.moves import StreamMoves

_HELLO_S = 10.0
_FLUSH_S = 0.3
"""How long what waits for a member may take when its stream ends."""


class Chat(chat_pb2_grpc.ChatServicer):
    """Rooms on one replica.

    Args:
        replica: Its name.
        moves: Tells the members when to move.
    """

    def __init__(self, replica: str, moves: StreamMoves) -> None:
        self._replica = replica
        self._moves = moves
        self._rooms = Rooms(replica)

    async def Join(  # type: ignore[override]  # noqa: N802 -- gRPC takes a coroutine too; the proto's name
        self,
        request_iterator: object,  # noqa: ARG002 -- context.read() takes turns with what else may end the stream
        context: Any,
    ) -> None:
        """One member's stream, from Hello to its end."""
        with self._moves.stream() as asked:
            try:
                room = self._rooms.enter(_room(context))
                try:
                    await self._be_in(room, asked, context)
                finally:
                    self._rooms.left(room)
            except Refusal as refusal:
                await context.abort(refusal.code, refusal.reason)
            except BadWordError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            if asked.done():
                text = f"replica {self._replica} asks to move: {asked.result()}"
                await context.abort(grpc.StatusCode.UNAVAILABLE, text, ((MOVE_KEY, asked.result()),))

    async def _be_in(self, room: Room, asked: asyncio.Future[str], context: Any) -> None:
        hello = await _hello(context)
        if asked.done():
            return
        outbox = Outbox()
        member = room.join(hello, outbox, now_us=_now_us())
        moves_to = ""
        writer = asyncio.create_task(_write(outbox, context), name=f"writes to {member.name!r}")
        reader = asyncio.create_task(_read(room, member, context), name=f"reads from {member.name!r}")
        try:
            ends: set[asyncio.Future[Any]] = {writer, reader, asked, outbox.ended}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if outbox.ended.done():
                raise outbox.ended.result()
            if reader.done():
                moves_to = reader.result()
            if not writer.done():
                # Asked to move, all go at once, and tell by themselves who has not come along.
                room.leave(member, moves_to=moves_to, quietly=asked.done())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(outbox.emptied(), _FLUSH_S)
        finally:
            room.leave(member, moves_to=moves_to)
            outbox.ended.cancel()
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def Locate(  # noqa: N802 -- the proto's name
        self,
        request: chat_pb2.LocateRequest,  # noqa: ARG002 -- gRPC's signature
        context: Any,  # noqa: ARG002 -- the same
    ) -> chat_pb2.LocateReply:
        """This one."""
        return chat_pb2.LocateReply(replica=self._replica)

    async def GetRoom(self, request: chat_pb2.GetRoomRequest, context: Any) -> chat_pb2.Room:  # noqa: N802, ARG002 -- the proto's name, gRPC's signature
        """The room as it is; one that nobody has entered is empty."""
        try:
            name = _room(context)
        except BadWordError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise
        room = self._rooms.find(name)
        return room.as_message() if room is not None else chat_pb2.Room(replica=self._replica, room=name)

    async def ListRooms(  # noqa: N802 -- the proto's name
        self,
        request: chat_pb2.ListRoomsRequest,  # noqa: ARG002 -- gRPC's signature
        context: Any,  # noqa: ARG002 -- the same
    ) -> chat_pb2.ListRoomsReply:
        """The rooms that somebody is in."""
        return chat_pb2.ListRoomsReply(replica=self._replica, rooms=[room.as_message() for room in self._rooms])


def _room(context: Any) -> str:
    values = [str(value) for key, value in context.invocation_metadata() if key == ROOM_KEY]
    if len(values) != 1:
        raise BadWordError(
            f"the call needs the metadata {ROOM_KEY}, once: it says which room, and leads to its replica"
        )
    return room_of_header(values[0])


async def _hello(context: Any) -> chat_pb2.Hello:
    try:
        first = await asyncio.wait_for(context.read(), _HELLO_S)
    except TimeoutError:
        raise Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, f"no hello came within {_HELLO_S:g} s") from None
    if first is grpc.aio.EOF or first.WhichOneof("what") != "hello":
        raise BadWordError("the first message must be a hello")
    hello: chat_pb2.Hello = first.hello
    return hello


async def _read(room: Room, member: Member, context: Any) -> str:
    """Take what the member says until it leaves; returns where it goes on, if it says so."""
    while (message := await context.read()) is not grpc.aio.EOF:
        match message.WhichOneof("what"):
            case "say":
                room.say(member, message.say, now_us=_now_us())
            case "leave":
                return str(message.leave.moves_to)
            case _:
                raise BadWordError("after the hello a member says lines, or leaves")
    return ""


async def _write(outbox: Outbox, context: Any) -> None:
    while True:
        await context.write(await outbox.next())
        outbox.written()


def _now_us() -> int:
    return time.time_ns() // 1000


def add(server: grpc.aio.Server, replica: str, moves: StreamMoves) -> None:
    """Register the Chat of the replica of that name."""
    chat_pb2_grpc.add_ChatServicer_to_server(Chat(replica, moves), server)
