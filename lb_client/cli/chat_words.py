"""What happens in a room, as words on paper or as JSON. Pure."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lb_client.chat_memory import Back, Came, Entered, Lost, Moved, Renamed, Spoke, Went
from lb_client.paper import BOLD, DIM, Paper
from lb_client.phrases import and_more, to_ascii
from protos.chat_rules import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lb_client.chat_memory import Event
    from protos import chat_pb2

_LAST_S = 221_845_392_000.0
_COLOURS = ("32", "33", "34", "35", "36", "92", "93", "94", "95", "96")


def lines_of(event: Event, paper: Paper, *, room: str, timed: bool) -> list[str]:
    """The event as lines to print; `timed` puts the time of day in front of what was said."""
    if isinstance(event, Entered):
        said = [said_line(line, paper, timed=timed) for line in event.lines]
        return [*said, _aside(_entered(event, room), paper)]
    if isinstance(event, Spoke):
        return [said_line(event.line, paper, mine=event.mine, timed=timed)]
    return [_aside(_happened(event), paper)]


def said_line(line: chat_pb2.ChatLine, paper: Paper, *, mine: bool = False, timed: bool) -> str:
    """`ann: hello`. Nothing is printed as it came: what a replica sends could steer the terminal."""
    name, text = (_shown(part, paper) for part in (line.name, line.text))
    when = paper.paint(f"{_time(line):%H:%M} ", DIM) if timed else ""
    colour = _COLOURS[zlib.crc32(line.name.encode()) % len(_COLOURS)]
    return f"{when}{paper.paint(name, colour, *([BOLD] if mine else []))}: {text}"


def who_line(members: Sequence[str], paper: Paper, *, room: str, replica: str) -> str:
    """The answer to `/who`."""
    return _aside(f"in {room} on {replica}: {and_more(sorted(members), 50)}", paper)


def aside(text: str, paper: Paper) -> str:
    """A discreet line that nobody said."""
    return _aside(text, paper)


def objects_of(event: Event) -> list[dict[str, Any]]:
    """The event as JSON objects: one, and one for each line of before on entering."""
    match event:
        case Entered():
            entered = {"event": "entered", "replica": event.replica, "name": event.name, "members": [*event.members]}
            return [entered, *(_line_object(line, mine=False, history=True) for line in event.lines)]
        case Spoke():
            return [_line_object(event.line, mine=event.mine, history=False)]
        case Came() | Went() | Renamed():
            kind = {Came: "joined", Went: "left", Renamed: "renamed"}[type(event)]
            return [{"event": kind, "name": event.name}]
        case Moved():
            return [{"event": "moved", "from": event.came_from, "to": event.to}]
        case Lost():
            return [{"event": "lost", "reason": event.reason}]
        case Back():
            return [{"event": "back", "replica": event.replica}]


def _line_object(line: chat_pb2.ChatLine, *, mine: bool, history: bool) -> dict[str, Any]:
    at = _time(line).astimezone(UTC).isoformat(timespec="milliseconds")
    return {
        "event": "line", "name": clean(line.name), "text": clean(line.text), "at": at, "id": line.id, "mine": mine,
        "history": history,
    }  # fmt: skip


def _entered(event: Entered, room: str) -> str:
    others = [name for name in event.members if name != event.name]
    company = f"with {and_more(others, 8)}" if others else "alone"
    return f"you are {event.name} in {room}, on {event.replica}, {company}"


def _happened(event: Came | Went | Moved | Renamed | Lost | Back) -> str:
    match event:
        case Came():
            return f"{event.name} has joined"
        case Went():
            return f"{event.name} has left"
        case Moved():
            return f"the room has moved from {event.came_from} to {event.to}"
        case Renamed():
            return f"your name was taken meanwhile: you are {event.name} now"
        case Lost():
            return f"the room is out of reach, looking for it: {event.reason}"
        case Back():
            return f"the room is in reach again, on {event.replica}"


def _aside(text: str, paper: Paper) -> str:
    return paper.paint(f"* {_shown(text, paper)}", DIM)


def _shown(text: str, paper: Paper) -> str:
    return to_ascii(clean(text)) if paper.ascii_only else clean(text)


def _time(line: chat_pb2.ChatLine) -> datetime:
    """In the time zone of whoever reads it; what a server says beyond year 9000 is no time."""
    return datetime.fromtimestamp(min(line.stamp_us / 1e6, _LAST_S), UTC).astimezone()
