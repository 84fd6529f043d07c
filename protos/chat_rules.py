"""What both sides of the chat must agree on: which rooms, names and lines there are, and a room as metadata. Pure."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote

ROOM_KEY = "lbdemo-room"
"""The metadata key that names the room on every call."""

MAX_NAME = 64
MAX_LINE_BYTES = 4096
HISTORY = 100
"""How many lines a room remembers."""

# What encodeURIComponent leaves as it is, beside letters and digits (ECMA-262, 19.2.6.4).
_PLAIN = "-_.!~*'()"
_ID = re.compile(r"[0-9a-z-]{1,64}")
_SESSION = re.compile(r"[!-~]{8,64}")

# Letters and marks of no width or of nothing but blank: all that makes two names look alike, or one invisible.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# In a line, these two join or part letters (Persian, emoji); they hide nothing there.
_JOINERS = frozenset("\u200c\u200d")
_MAX_MARKS = 4
"""Accents on one letter; a tower of them covers the lines above."""


class BadWordError(ValueError):
    """A room, a name or a line that cannot be; the message says what is wrong and what is possible."""


def check_name(text: str, what: str = "name") -> str:
    """A name or a room in its one spelling: Unicode's form C, no white space at its ends.

    Raises:
        BadWordError: It is empty, longer than 64 characters, or has characters that cannot be seen for what they are.
    """
    if len(text) > 4 * MAX_NAME:  # before anything is done with what may be megabytes
        raise BadWordError(f"the {what} is too long: 1 to {MAX_NAME} characters are possible")
    word = unicodedata.normalize("NFC", text.strip())
    if not word:
        raise BadWordError(f"the {what} is empty: 1 to {MAX_NAME} characters are possible")
    if len(word) > MAX_NAME:
        raise BadWordError(f"the {what} is too long: {len(word)} characters, 1 to {MAX_NAME} are possible")
    for character in word:
        if character in _BLANK or unicodedata.category(character) in _UNSAFE:
            kind = unicodedata.name(character, "a control character").lower()
            raise BadWordError(f"the {what} contains U+{ord(character):04X} ({kind}), which nobody can see")
        if character.isspace() and character != " ":
            raise BadWordError(f"the {what} contains U+{ord(character):04X}: of white space only blanks are possible")
    if _fewer_marks(word) != word or unicodedata.category(word[0]).startswith("M"):
        raise BadWordError(f"the {what} has more accents than letters to carry them")
    return word


def same_name(name: str) -> str:
    """What is equal for two names that look or sound alike: `Ann`, `ann` and full-width letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def room_header(room: str) -> str:
    """The value of `lbdemo-room` for a room: in form C, percent-encoded as JavaScript's encodeURIComponent does it.

    Raises:
        BadWordError: There can be no such room.
    """
    return quote(check_name(room, "room"), safe=_PLAIN)


def room_of_header(value: str) -> str:
    """The room that a header names.

    Raises:
        BadWordError: There can be no such room, or it is spelt in a way that would hash to another place.
    """
    try:
        room = check_name(unquote(value[: 16 * MAX_NAME], errors="strict"), "room")
    except UnicodeDecodeError:
        raise BadWordError(f"the metadata {ROOM_KEY} is no UTF-8, percent-encoded") from None
    if room_header(room) != value:
        raise BadWordError(f"the metadata {ROOM_KEY} must be {room_header(room)!r} for this room")
    return room


def check_line(text: str) -> str:
    """A line as everybody gets it: what could steer a terminal or reorder text has become U+FFFD.

    Raises:
        BadWordError: It is empty or too long.
    """
    size = len(text.encode(errors="replace"))
    if size > MAX_LINE_BYTES:
        raise BadWordError(f"the line is too long: {size:,} bytes, at most {MAX_LINE_BYTES:,} are possible")
    line = clean(text.rstrip())
    if not line:
        raise BadWordError("the line is empty")
    return line


def check_id(id: str) -> str:
    """The id of a line.

    Raises:
        BadWordError: It is of another form.
    """
    if not _ID.fullmatch(id):
        raise BadWordError("a line's id is 1 to 64 of 0-9, a-z and '-'")
    return id


def check_session(session: str) -> str:
    """The secret of a client.

    Raises:
        BadWordError: It is of another form.
    """
    if not _SESSION.fullmatch(session):
        raise BadWordError("a session is 8 to 64 printable ASCII characters")
    return session


def clean(text: str) -> str:
    """Text that is safe on any terminal: controls, bidi overrides and characters of no width become U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return _fewer_marks("".join(map(_safe, text.replace("\t", " "))))


def _safe(character: str) -> str:
    if character in _JOINERS:
        return character
    return "\ufffd" if character in _BLANK or unicodedata.category(character) in _UNSAFE else character


def _fewer_marks(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)
