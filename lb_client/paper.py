"""What a page of text is written on: how wide, with colours or without, in which characters. Knows no page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TextIO

from lb_client.phrases import printable, to_ascii

PIPE_SIZE = (100, 24)
"""Columns and lines where no terminal says how many there are."""

BOLD, DIM, GREEN, RED, YELLOW = "1", "2", "32", "31", "33"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def size_of(stream: TextIO) -> tuple[int, int]:
    """Columns and lines of the terminal behind the stream; COLUMNS goes before what it says."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, lines = PIPE_SIZE
    given = os.environ.get("COLUMNS", "")
    return (int(given) if given.isdecimal() and int(given) else columns or PIPE_SIZE[0]), lines or PIPE_SIZE[1]


@dataclass(frozen=True, slots=True)
class Paper:
    """What a page is written on.

    Attributes:
        width: Columns.
        colour: Whether to use colours.
        ascii_only: Whether nothing but ASCII can be shown.
    """

    width: int = PIPE_SIZE[0]
    colour: bool = False
    ascii_only: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> Paper:
        """What a stream can show. NO_COLOR and FORCE_COLOR are heeded (https://no-color.org, https://force-color.org)."""
        tty = stream.isatty()
        colour = not os.environ.get("NO_COLOR") and (tty or bool(os.environ.get("FORCE_COLOR")))
        encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("_", "-")
        return cls(size_of(stream)[0], colour and os.environ.get("TERM") != "dumb", not encoding.startswith("utf"))

    def paint(self, text: str, *codes: str) -> str:
        """The text in colours."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour and codes and text else text

    def fit(self, text: str) -> str:
        """The text in characters that can be shown: what a server sends must not steer a terminal."""
        text = printable(text)
        return to_ascii(text) if self.ascii_only else text

    def bar(self, part: float, width: int) -> str:
        """A bar of `part` (0 to 1) of the width, to an eighth of a cell, filled up with blanks."""
        part = min(1.0, max(0.0, part))
        if self.ascii_only:
            return ("#" * round(part * width)).ljust(width)
        eighths = round(part * width * 8)
        return ("█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")).ljust(width)
