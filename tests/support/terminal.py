"""A small terminal: what a program writes becomes a screen and what scrolled off it. Knows what we use of ANSI."""

from __future__ import annotations

import io
import re

_PIECE = re.compile(
    r"\x1b\[(?P<private>\??)(?P<number>\d*)(?:;\d+)*(?P<kind>[A-Za-z])|(?P<control>[\r\n])|(?P<text>[^\x1b])"
)


class Terminal(io.StringIO):
    """A terminal of so many columns and lines; write to it, then look at `lines` and `history`.

    Attributes:
        history: Lines that have scrolled off the top. Like tmux, it also keeps what a program clears from the top left.
        cursor_shown: Whether the cursor can be seen.
    """

    encoding = "utf-8"

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        super().__init__()
        self._columns, self._rows = columns, rows
        self._screen = [""] * rows
        self._row = self._column = 0
        self._wraps = True
        self.history: list[str] = []
        self.cursor_shown = True

    def isatty(self) -> bool:
        """It is one."""
        return True

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without the empty lines at its end."""
        full = [number for number, line in enumerate(self._screen) if line.strip()]
        return [line.rstrip() for line in self._screen[: full[-1] + 1]] if full else []

    def write(self, text: str) -> int:
        """Show it, a line feed as the terminal's driver shows it."""
        for piece in _PIECE.finditer(text):
            if piece["text"]:
                self._put(piece["text"])
            elif piece["control"]:
                self._column = 0
                if piece["control"] == "\n":
                    self._down()
            else:
                self._obey(piece["private"] + piece["kind"], piece["number"])
        return len(text)

    def _put(self, character: str) -> None:
        if self._column == self._columns:
            if self._wraps:
                self._column = 0
                self._down()
            else:
                self._column -= 1
        line = self._screen[self._row].ljust(self._column)
        self._screen[self._row] = line[: self._column] + character + line[self._column + 1 :]
        self._column += 1

    def _down(self) -> None:
        if self._row < self._rows - 1:
            self._row += 1
            return
        self.history.append(self._screen.pop(0).rstrip())
        self._screen.append("")

    def _obey(self, kind: str, number: str) -> None:
        match kind, number:
            case "A", _:
                self._row = max(0, self._row - int(number or 1))
            case "K", "":
                self._screen[self._row] = self._screen[self._row][: min(self._column, self._columns - 1)]
            case "J", "":
                if self._row == self._column == 0:
                    self.history += self.lines
                self._screen[self._row] = self._screen[self._row][: self._column]
                self._screen[self._row + 1 :] = [""] * (self._rows - self._row - 1)
            case (("?h" | "?l"), "7"):
                self._wraps = kind == "?h"
            case (("?h" | "?l"), "25"):
                self.cursor_shown = kind == "?h"
            case "m", _:
                pass
            case _:
                raise AssertionError(f"this terminal does not know ESC [ {number}{kind}")
