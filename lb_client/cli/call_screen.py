"""A few lines at the end of a terminal, drawn over and over: what a live view needs, and cheap.

Not by rich, whose frames take milliseconds: `lbdemo call` draws on the loop that sends the calls, and measures them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self, TextIO

from lb_client.paper import DIM, Paper, size_of
from lb_client.phrases import to_ascii

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
_CLEAR_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"


class Screen:
    """A few lines at the end of a terminal that are drawn over again. Leaving the block erases them.

    Between two frames the cursor waits on an empty line above them. A line that somebody else writes to the terminal
    (`lbdemo scale` beside us, Enter, ^C) then takes that empty line, stays, and pushes the frame down by one.

    Nothing is cleared from the top left corner, because tmux would keep what was there in its history.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._height = 0
        self._paper = Paper.of(out)

    def __enter__(self) -> Self:
        self._out.write(_HIDE)
        return self

    def __exit__(self, *_: object) -> None:
        self._write([""] * self._height)
        self._out.write(_SHOW)
        self._out.flush()

    @property
    def paper(self) -> Paper:
        """What it is drawn on now: windows are resized."""
        self._paper = replace(self._paper, width=size_of(self._out)[0])
        return self._paper

    def draw(self, lines: list[str], *, above: list[str] | None = None) -> None:
        """Replace what is there by these lines; those of `above` stay, and scroll away with time."""
        room = max(3, size_of(self._out)[1] - 3)
        if len(lines) > room:
            lines = [*lines[: room - 1], self._paper.paint(f"  … {len(lines) - room + 1} more", DIM)]
        frame = ["", *lines]
        self._write(frame, above=above or [])
        self._out.flush()
        self._height = len(frame)

    def _write(self, frame: list[str], *, above: list[str] | None = None) -> None:
        """Write lines from the cursor on, and go back up to where the frame begins."""
        # A line too long for the terminal is cut by it: one that it wrapped would be two, and throw off the count.
        text = "".join(f"{_CLEAR_LINE}{line}\n" for line in [*(above or ()), *frame])
        text = to_ascii(text) if self._paper.ascii_only else text
        back = f"{_CLEAR_BELOW}\x1b[{len(frame)}A" if frame else ""
        self._out.write(f"\r{_WRAP_OFF}{text}{_WRAP_ON}{back}")
