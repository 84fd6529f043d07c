"""What a member of a chat knows: the room's lines and people, what it has said, what is acknowledged. Pure.

Messages of the server go in, events for people come out. Streams are chat_session.py's matter.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protos import chat_pb2
from protos.chat_history import MAX_BYTES, History
from protos.chat_rules import HISTORY

if TYPE_CHECKING:
    from collections.abc import Iterable

COME_ALONG_S = 3.0
"""How long a member that has not come along with the room is not said to have left."""


@dataclass(frozen=True, slots=True)
class Entered:
    """The first Welcome: we are in. `lines` are the last ones that were said, `members` everybody, us included."""

    replica: str
    name: str
    members: tuple[str, ...]
    lines: tuple[chat_pb2.ChatLine, ...]


@dataclass(frozen=True, slots=True)
class Spoke:
    """A line that was not known yet. `mine`: it is ours, and acknowledged."""

    line: chat_pb2.ChatLine
    mine: bool


@dataclass(frozen=True, slots=True)
class Came:
    """Somebody has come in."""

    name: str


@dataclass(frozen=True, slots=True)
class Went:
    """Somebody has left."""

    name: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The room is on another replica, and so are we."""

    came_from: str
    to: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """Our name was taken when we came back; this is the one we have now."""

    name: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The room is out of reach for now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """It is in reach again, where it was."""

    replica: str


Event = Entered | Spoke | Came | Went | Moved | Renamed | Lost | Back


class Memory:
    """One member's knowledge of one room, through all the streams by which it is in it.

    Attributes:
        name: What we are called there.
        replica: Where the room is, as far as we know; "" before the first Welcome.
        members: Everybody in the room, us included.
        pending: Lines that are said and not acknowledged, by id, in their order.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.replica = ""
        self.members: set[str] = set()
        self.pending: dict[str, str] = {}
        self._session = secrets.token_hex(16)
        # More than the room's own: what it hands us late must not be older than what we have forgotten.
        self._history = History(2 * HISTORY, 2 * MAX_BYTES)
        self._mine: set[str] = set()
        self._awaited: dict[str, float] = {}
        self._is_lost = False

    def hello(self, history: int) -> chat_pb2.Hello:
        """What to say on entering, for the first time or again."""
        hello = chat_pb2.Hello(name=self.name, session=self._session, history=history, comes_from=self.replica)
        if self.replica:
            hello.known.extend(self._history.newest(HISTORY))
        return hello

    def say(self, text: str) -> str:
        """A line of ours, to be sent until it is acknowledged; returns its id."""
        line_id = secrets.token_hex(8)
        self.pending[line_id] = text
        self._mine.add(line_id)
        return line_id

    def lost(self, reason: str) -> list[Event]:
        """The room has been out of reach for too long to keep silent; told once."""
        if self._is_lost or not self.replica:
            return []
        self._is_lost = True
        return [Lost(reason)]

    def take(self, message: chat_pb2.ToMember, now_s: float) -> list[Event]:
        """What the server says, as news for people."""
        match message.WhichOneof("what"):
            case "welcome":
                return self._welcomed(message.welcome, now_s)
            case "line":
                return self._heard([message.line])
            case "joined":
                return self._joined(message.joined.name)
            case "left":
                return self._left(message.left, now_s)
            case _:
                return []  # a later version's

    def overdue(self, now_s: float) -> list[Event]:
        """Those who should have come along by now, and have not."""
        late = sorted(name for name, until_s in self._awaited.items() if until_s <= now_s)
        for name in late:
            del self._awaited[name]
        return [Went(name) for name in late]

    def _welcomed(self, welcome: chat_pb2.Welcome, now_s: float) -> list[Event]:
        came_from, self.replica = self.replica, welcome.replica
        before, self.members = self.members, set(welcome.members)
        if not came_from:
            self.name = welcome.name
            self._heard(welcome.lines)
            return [Entered(welcome.replica, welcome.name, tuple(welcome.members), tuple(welcome.lines))]
        events: list[Event] = []
        if came_from != welcome.replica:
            events.append(Moved(came_from, welcome.replica))
        elif self._is_lost:
            events.append(Back(welcome.replica))
        self._is_lost = False
        if welcome.name != self.name:
            before = (before - {self.name}) | {welcome.name}
            self.name = welcome.name
            events.append(Renamed(welcome.name))
        known = before | set(self._awaited)
        events += [Came(name) for name in sorted(self.members - known - {self.name})]
        self._awaited = {
            name: self._awaited.get(name, now_s + COME_ALONG_S) for name in known - self.members - {self.name}
        }
        return events + self._heard(welcome.lines)

    def _heard(self, lines: Iterable[chat_pb2.ChatLine]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            self.pending.pop(line.id, None)
            if self._history.add(line):
                events.append(Spoke(line, line.id in self._mine))
            self._mine.discard(line.id)
        return events

    def _joined(self, name: str) -> list[Event]:
        is_news = name not in self.members and name not in self._awaited
        self.members.add(name)
        self._awaited.pop(name, None)
        return [Came(name)] if is_news else []

    def _left(self, left: chat_pb2.Left, now_s: float) -> list[Event]:
        self.members.discard(left.name)
        if left.moves_to:  # the room is moving, and so shall we
            self._awaited[left.name] = now_s + COME_ALONG_S
            return []
        return [Went(left.name)]
