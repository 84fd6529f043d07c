"""What people and programs read of a chat, and that nothing in it steers their terminal."""

from __future__ import annotations

import json

import pytest

from lb_client.chat_memory import Back, Came, Entered, Event, Lost, Moved, Renamed, Spoke, Went
from lb_client.cli.chat_words import lines_of, objects_of, said_line, who_line
from lb_client.paper import Paper
from protos.chat_pb2 import ChatLine

PLAIN = Paper()
LINE = ChatLine(id="l-1", name="ann", text="hello", stamp_us=1_700_000_000_123_456)


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (Entered("r1", "ann", ("ann",), ()), ["* you are ann in kitchen, on r1, alone"]),
        (
            Entered("r1", "bob", ("ann", "bob", "zoe"), (LINE,)),
            ["ann: hello", "* you are bob in kitchen, on r1, with ann and zoe"],
        ),
        (Spoke(LINE, mine=True), ["ann: hello"]),
        (Came("zoe"), ["* zoe has joined"]),
        (Went("zoe"), ["* zoe has left"]),
        (Moved("r1", "r2"), ["* the room has moved from r1 to r2"]),
        (Renamed("ann (2)"), ["* your name was taken meanwhile: you are ann (2) now"]),
        (Lost("refused"), ["* the room is out of reach, looking for it: refused"]),
        (Back("r1"), ["* the room is in reach again, on r1"]),
    ],
)
def test_an_event_in_plain_lines(event: Event, lines: list[str]) -> None:
    assert lines_of(event, PLAIN, room="kitchen", timed=False) == lines
    assert all(json.dumps(thing) for thing in objects_of(event))


def test_json_of_a_line() -> None:
    assert objects_of(Spoke(LINE, mine=True)) == [
        {
            "event": "line", "name": "ann", "text": "hello", "at": "2023-11-14T22:13:20.123+00:00", "id": "l-1",
            "mine": True, "history": False,
        }
    ]  # fmt: skip


def test_json_of_entering_has_the_history_after_it() -> None:
    first, second = objects_of(Entered("r1", "ann", ("ann",), (LINE,)))
    assert first == {"event": "entered", "replica": "r1", "name": "ann", "members": ["ann"]}
    assert (second["event"], second["history"]) == ("line", True)


def test_what_a_wicked_server_sends_is_not_printed_raw() -> None:
    wicked = "\x1b[2J\u202e\x07\r\n"
    line = ChatLine(id="x", name=wicked, text=wicked, stamp_us=2**64 - 1)
    events: list[Event] = [
        Spoke(line, mine=False), Came(wicked), Went(wicked), Moved(wicked, wicked), Renamed(wicked), Lost(wicked),
        Back(wicked), Entered(wicked, wicked, (wicked, "other" + wicked), (line,)),
    ]  # fmt: skip
    for event in events:
        for text in lines_of(event, PLAIN, room="kitchen", timed=True):
            assert text.isprintable()
    assert who_line([wicked], PLAIN, room="kitchen", replica=wicked).isprintable()
    assert objects_of(events[0])[0]["text"].isprintable()


def test_a_name_has_its_colour_and_ascii_its_question_marks() -> None:
    colour = Paper(colour=True)
    assert said_line(LINE, colour, timed=False) == said_line(LINE, colour, timed=False)
    assert said_line(LINE, colour, timed=False).startswith("\x1b[")
    umlaut = ChatLine(name="Jürgen", text="schön", stamp_us=1)
    assert said_line(umlaut, Paper(ascii_only=True), timed=False) == "J?rgen: sch?n"
