"""A few lines at the end of a terminal, drawn over and over: what a live view needs, and cheap.

Not by rich, whose frames take milliseconds: `lbdemo call` draws on the loop that sends the calls, and measures them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self, TextIO

from lb_client.paper import DIM, Paper, size_of
from lb_client.phrases import to_ascii

_HIDE, _SHOW, _CLEAR_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[J"


class Screen:
    """A few lines at the end of a terminal that are drawn over again. Leaving the block erases them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._height = 0
        self._paper = Paper.of(out)

    def __enter__(self) -> Self:
        self._out.write(_HIDE)
        return self

    def __exit__(self, *_: object) -> None:
        self._out.write(self._back() + _SHOW)
        self._out.flush()

    @property
    def paper(self) -> Paper:
        """What it is drawn on now: windows are resized."""
        self._paper = replace(self._paper, width=size_of(self._out)[0])
        return self._paper

    def draw(self, lines: list[str], *, above: list[str] | None = None) -> None:
        """Replace what is there by these lines; those of `above` stay, and scroll away with time."""
        room = max(3, size_of(self._out)[1] - 2)
        if len(lines) > room:
            lines = [*lines[: room - 1], self._paper.paint(f"  … {len(lines) - room + 1} more", DIM)]
        text = "".join(f"{line}\n" for line in [*(above or ()), *lines])
        self._out.write(self._back() + (to_ascii(text) if self._paper.ascii_only else text))
        self._out.flush()
        self._height = len(lines)

    def _back(self) -> str:
        up = f"\x1b[{self._height}A" if self._height else ""
        self._height = 0
        return f"\r{up}{_CLEAR_BELOW}"
