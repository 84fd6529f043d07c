"""Rooms: who is in one, what was said, who gets what. Pure but for the members' outboxes; chat.py speaks gRPC.

A room is where its members are. It has no store: members that come from another replica bring along the last lines they
know, and the room takes those it does not have.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from backends.chat_outbox import Bucket, Outbox, Refusal
from protos import chat_pb2
from protos.chat_history import History
from protos.chat_rules import HISTORY, check_id, check_line, check_name, check_session, same_name

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MEMBERS = 1000
MAX_ROOMS = 10_000
MAX_EMPTY = 256
"""Rooms that nobody is in and that are still remembered."""

# How far a stamp that a member brings along may be ahead of our clock: it becomes the room's time.
_AHEAD_US = 24 * 3600 * 1_000_000


@dataclass(eq=False, slots=True)
class Member:
    """Somebody in a room, for as long as its stream lasts."""

    name: str
    session: str
    outbox: Outbox
    bucket: Bucket


class Room:
    """One room on this replica. On one event loop only."""

    def __init__(self, name: str, replica: str) -> None:
        self.name = name
        self._replica = replica
        self._history = History()
        self._members: dict[str, Member] = {}

    @property
    def members(self) -> list[str]:
        """The names of those who are here, sorted."""
        return sorted(member.name for member in self._members.values())

    def as_message(self) -> chat_pb2.Room:
        """The room as `GetRoom` tells it."""
        return chat_pb2.Room(replica=self._replica, room=self.name, members=self.members, lines=len(self._history))

    def join(self, hello: chat_pb2.Hello, member_of: Outbox, *, now_us: int) -> Member:
        """Somebody comes in and gets Welcome; the others are told.

        Raises:
            Refusal: The name is taken, or the room is full.
            BadWordError: The name, the session or a line that was brought along cannot be.
        """
        name, session = check_name(hello.name), check_session(hello.session)
        brought = [_checked(line, now_us) for line in hello.known[-HISTORY:]]
        there = self._members.get(same_name(name))
        again = there is not None and there.session == session
        if again and there is not None:
            del self._members[same_name(name)]
            there.outbox.end(Refusal(grpc.StatusCode.ABORTED, "this client has joined the room again"))
        elif there is not None and not hello.comes_from:
            raise Refusal(
                grpc.StatusCode.ALREADY_EXISTS,
                f"{there.name} is in the room {self.name} already: choose another name",
            )
        elif there is not None:
            name = self._numbered(name)
        if len(self._members) >= MAX_MEMBERS:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the room {self.name} is full: {MAX_MEMBERS} are in it")
        for line in self._history.merge(brought):
            self._tell(chat_pb2.ToMember(line=line))
        if not again:
            self._tell(chat_pb2.ToMember(joined=chat_pb2.Joined(name=name, came_along=bool(hello.comes_from))))
        member = Member(name, session, member_of, Bucket())
        self._members[same_name(name)] = member
        known = {line.id for line in hello.known}
        count = HISTORY if hello.comes_from else min(hello.history, HISTORY)
        welcome = chat_pb2.Welcome(
            replica=self._replica,
            name=name,
            members=self.members,
            lines=[line for line in self._history.newest(count) if line.id not in known],
            burst=Bucket.BURST,
            lines_per_s=Bucket.PER_S,
        )
        member.outbox.put(chat_pb2.ToMember(welcome=welcome))
        return member

    def say(self, member: Member, say: chat_pb2.Say, *, now_us: int) -> None:
        """A line for everybody, the one who said it included. One that is here already is acknowledged once more.

        Raises:
            Refusal: The member says too much.
            BadWordError: The line or its id cannot be.
        """
        if not member.bucket.take(now_us / 1e6):
            raise Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{member.name} says too much: {Bucket.BURST} lines at once and {Bucket.PER_S} a second are possible",
            )
        text = check_line(say.text)
        if (line := self._history.get(check_id(say.id))) is not None:
            member.outbox.put(chat_pb2.ToMember(line=line))
            return
        line = chat_pb2.ChatLine(id=say.id, name=member.name, text=text, stamp_us=self._history.next_stamp(now_us))
        self._history.add(line)
        self._tell(chat_pb2.ToMember(line=line))

    def leave(self, member: Member, *, moves_to: str = "", quietly: bool = False) -> None:
        """Somebody has gone; the others are told, unless `quietly`.

        No error if it has gone before, or another stream of the same client has taken its place.
        """
        if self._members.get(same_name(member.name)) is member:
            del self._members[same_name(member.name)]
            if not quietly:
                self._tell(chat_pb2.ToMember(left=chat_pb2.Left(name=member.name, moves_to=moves_to)))

    def _tell(self, message: chat_pb2.ToMember) -> None:
        for member in self._members.values():
            member.outbox.put(message)

    def _numbered(self, name: str) -> str:
        """The name with the lowest number that is free, within the length that a name may have."""
        number = 2
        while same_name(f"{name[:56]} ({number})") in self._members:
            number += 1
        return f"{name[:56]} ({number})"


class Rooms:
    """All rooms of this replica. The last of those that everybody has left are remembered for a while."""

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._rooms: OrderedDict[str, Room] = OrderedDict()

    def find(self, name: str) -> Room | None:
        """The room, if it is here."""
        return self._rooms.get(name)

    def enter(self, name: str) -> Room:
        """The room, made if it is not here.

        Raises:
            Refusal: There are too many.
        """
        if (room := self._rooms.get(name)) is None:
            if len(self._rooms) >= MAX_ROOMS + MAX_EMPTY:
                raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, f"replica {self._replica} has {MAX_ROOMS} rooms")
            room = self._rooms[name] = Room(name, self._replica)
        return room

    def left(self, room: Room) -> None:
        """Somebody has left the room, or could not enter it: forget the oldest of those that are empty."""
        if not room.members and room.name in self._rooms:
            self._rooms.move_to_end(room.name)
            empty = [name for name, other in self._rooms.items() if not other.members]
            for name in empty[: max(0, len(empty) - MAX_EMPTY)]:
                del self._rooms[name]

    def __iter__(self) -> Iterator[Room]:
        """Those that somebody is in, sorted by name."""
        return iter(sorted((room for room in self._rooms.values() if room.members), key=lambda room: room.name))


def _checked(line: chat_pb2.ChatLine, now_us: int) -> chat_pb2.ChatLine:
    stamp_us = min(line.stamp_us, now_us + _AHEAD_US)
    return chat_pb2.ChatLine(
        id=check_id(line.id), name=check_name(line.name), text=check_line(line.text), stamp_us=stamp_us
    )
