"""A few lines at the end of a terminal, drawn over and over: what a live view needs, and cheap.

Not by rich, whose frames take milliseconds: `lbdemo call` draws on the loop that sends the calls, and measures them.
"""

from __future__ import annotations

import os
import shutil
from typing import Self, TextIO

from lb_client.phrases import to_ascii

_HIDE, _SHOW, _CLEAR_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[J"
GREEN, RED, YELLOW, DIM, BOLD = "32", "31", "33", "2", "1"
_EIGHTHS = " ▏▎▍▌▋▊▉"


class Screen:
    """A few lines at the end of a terminal that are drawn over again. Leaving the block erases them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._height = 0
        self.colour = not os.environ.get("NO_COLOR")
        encoding = (getattr(out, "encoding", None) or "ascii").lower()
        self.ascii = not encoding.startswith("utf")

    def __enter__(self) -> Self:
        self._out.write(_HIDE)
        return self

    def __exit__(self, *_: object) -> None:
        self._out.write(self._back() + _SHOW)
        self._out.flush()

    @property
    def width(self) -> int:
        """Columns, asked anew each time: windows are resized."""
        return shutil.get_terminal_size((80, 24)).columns

    def draw(self, lines: list[str], *, above: list[str] | None = None) -> None:
        """Replace what is there by these lines; those of `above` stay, and scroll away with time."""
        room = max(3, shutil.get_terminal_size((80, 24)).lines - 2)
        if len(lines) > room:
            lines = [*lines[: room - 1], self.style(f"  … {len(lines) - room + 1} more", DIM)]
        text = "".join(f"{line}\n" for line in [*(above or ()), *lines])
        self._out.write(self._back() + (to_ascii(text) if self.ascii else text))
        self._out.flush()
        self._height = len(lines)

    def style(self, text: str, *codes: str) -> str:
        """The text in these colours, where colours are wanted."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour and codes else text

    def bar(self, part: float, width: int) -> str:
        """A bar of `part` of the width."""
        eighths = round(min(1.0, max(0.0, part)) * width * 8)
        text = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
        return ("#" * (eighths // 8) if self.ascii else text).ljust(width)

    def _back(self) -> str:
        up = f"\x1b[{self._height}A" if self._height else ""
        self._height = 0
        return f"\r{up}{_CLEAR_BELOW}"
