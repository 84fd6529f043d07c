"""A conversation as a timeline: one line for each moment, the client's side and the server's side by side. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client.paper import BOLD, DIM, GREEN, RED, YELLOW
from lb_client.phrases import counted
from lb_client.script import Kind

if TYPE_CHECKING:
    from lb_client.paper import Paper
    from lb_client.script import Moment

_AT, _REPLICA = 9, 8
_NARROW, _WIDE = 24, 44


class Timeline:
    """Draws moments as they come. The client's words stand left, the server's right, who serves at the end.

    Args:
        paper: What it is written on.
        status: How the conversation should end.
    """

    def __init__(self, paper: Paper, *, status: str = "OK") -> None:
        self._paper = paper
        self._status = status
        self._side = min(_WIDE, max(_NARROW, (paper.width - _AT - _REPLICA - 8) // 2))
        self._right, self._left = ("->", "<-") if paper.ascii_only else ("─▶", "◀─")

    def head(self) -> str:
        """The line above the first moment."""
        return self._paper.paint(self._row("ms", "client", "server", "replica"), DIM)

    def lines(self, moment: Moment) -> list[str]:
        """One moment, in a line or two. The replica is blank as long as the client does not know it."""
        at = f"{moment.at_s * 1000:,.1f}"
        if moment.kind is Kind.MOVED:
            lost = moment.text == "lost"
            why = "the connection is lost" if lost else f"{self._left} asks it to move: {moment.text}"
            again = f", {counted(moment.number, 'line')} again" if moment.number else ""
            return [
                self._line(at, "", why, moment.home.replica, YELLOW),
                self._line(at, f"moves{again}", "", "", YELLOW),
            ]
        text, codes = self._words(moment)
        client, server = ("", text) if moment.by_server else (text, "")
        return [self._line(at, client, server, moment.home.replica, *codes)]

    def _words(self, moment: Moment) -> tuple[str, tuple[str, ...]]:
        number, text = moment.number, moment.text
        right, left = self._right, self._left
        if moment.kind is Kind.WROTE:
            room = self._side - len(right) - len(str(number)) - 2
            return f"{number} {self._cut(text, room)} {right}", ()
        if moment.kind is Kind.ENDED:
            good = text.partition(" ")[0] == self._status
            status = text.partition(" ")[0]  # its details are told below
            return f"{left} {status}" if moment.by_server else status, (BOLD, GREEN if good else RED)
        return {
            Kind.OPENED: ("opens the stream", (DIM,)),
            Kind.METADATA: (f"{left} initial metadata", (DIM,)),
            Kind.READ: (f"{left} {number} {text}", ()),
            Kind.CLOSED: (f"closes its side {right}", (BOLD,)),
            Kind.CANCELLED: (f"cancels {right}", (BOLD, YELLOW)),
        }[moment.kind]

    def _line(self, at: str, client: str, server: str, replica: str, *codes: str) -> str:
        client, server = self._cut(client, self._side), self._cut(server, self._side)
        row = self._row(at, client, server, self._cut(replica, _REPLICA))
        words = client or server
        # Widths are counted before colours come in.
        return row.replace(words, self._paper.paint(words, *codes), 1) if codes else row

    def _row(self, at: str, client: str, server: str, replica: str) -> str:
        return f" {at:>{_AT}}  {client:<{self._side}}  {server:<{self._side}}  {replica}".rstrip()

    def _cut(self, text: str, width: int) -> str:
        text = self._paper.fit(text)
        return text if len(text) <= width else text[: width - 1] + self._paper.fit("…")[0]
