"""What is to be said in a conversation, and what happened in it, as values. talk.py holds it; no gRPC here."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Mode(enum.Enum):
    """The shape of a conversation; its value is the command's word."""

    METADATA_FIRST = "metadata-first"
    PING_PONG = "ping-pong"
    COLLECT = "collect"
    INDEPENDENT = "independent"
    SERVER_CLOSES = "server-closes"
    DEADLINE = "deadline"
    CANCEL = "cancel"

    @property
    def status(self) -> str:
        """How it ends when all is well."""
        return {Mode.DEADLINE: "DEADLINE_EXCEEDED", Mode.CANCEL: "CANCELLED"}.get(self, "OK")

    @property
    def can_move(self) -> bool:
        """Whether each line has an answer that repeats its number, to the end: else none could tell what was lost."""
        return self in (Mode.METADATA_FIRST, Mode.PING_PONG, Mode.COLLECT)

    @property
    def method(self) -> str:
        """The RPC. Deadline and cancellation show best where it is known at once who answers."""
        return _METHODS[self]


_METHODS = {
    Mode.METADATA_FIRST: "MetadataFirst",
    Mode.PING_PONG: "PingPong",
    Mode.COLLECT: "CollectThenAnswer",
    Mode.INDEPENDENT: "Independent",
    Mode.SERVER_CLOSES: "ServerCloses",
    Mode.DEADLINE: "MetadataFirst",
    Mode.CANCEL: "MetadataFirst",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is to be said.

    Attributes:
        mode: The shape.
        count: Lines of the client, for `cancel` answers to wait for; None for no bound.
        duration_s: No line is written after so many seconds; None for no bound.
        interval_s: What the client waits after each line.
        delay_s: What the server waits before each line.
        deadline_s: For the whole stream; None for none.
        text: Of each line.
        metadata: Sent when a stream is opened.
        moves: Whether it may move, where its mode can.
    """

    mode: Mode = Mode.PING_PONG
    count: int | None = 5
    duration_s: float | None = None
    interval_s: float = 0.0
    delay_s: float = 0.0
    deadline_s: float | None = None
    text: str = "ping"
    metadata: tuple[tuple[str, str], ...] = ()
    moves: bool = True


@dataclass(slots=True)
class Home:
    """A replica where a stream was, from one move to the next; "" for what is not known of it, or not yet.

    Attributes:
        sent: Lines written there; those that a move sends again are in `Move.unacknowledged`.
        received: Lines read from there.
    """

    replica: str = ""
    address: str = ""
    sent: int = 0
    received: int = 0


class Kind(enum.Enum):
    """What happened."""

    OPENED = enum.auto()
    METADATA = enum.auto()
    WROTE = enum.auto()
    READ = enum.auto()
    CLOSED = enum.auto()
    MOVED = enum.auto()
    CANCELLED = enum.auto()
    ENDED = enum.auto()


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened in a conversation, as the client saw it.

    Attributes:
        at_s: Seconds since the stream was opened.
        kind: What.
        home: Where the stream was.
        number: Of the line, if it is about one.
        text: Of the line; the status and its details for ENDED; the reason for MOVED.
    """

    at_s: float
    kind: Kind
    home: Home
    number: int = 0
    text: str = ""

    @property
    def by_server(self) -> bool:
        """Whether it is the server's doing. A deadline and a cancellation are the client's own."""
        if self.kind is Kind.ENDED:
            return self.text.partition(" ")[0] not in ("DEADLINE_EXCEEDED", "CANCELLED")
        return self.kind in (Kind.METADATA, Kind.READ)
