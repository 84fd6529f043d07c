"""A run's history as text: a row of bars for each backend over one axis of time, the events marked on it, then told.

Colours and width are the paper's; what the page around it says is report_table.py's.
"""

from __future__ import annotations

import math
import re
import string
import textwrap
from typing import TYPE_CHECKING

from lb_client.membership import natural_key
from lb_client.paper import BOLD, DIM, GREEN, RED, YELLOW
from lb_client.phrases import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lb_client.history.happenings import Happening, Impact
    from lb_client.history.history import History
    from lb_client.history.traffic import Traffic
    from lb_client.paper import Paper

LABEL = 10
_TEXT_AT = 14
MOST_ROWS = 12
MOST_EVENTS = 20
LEAST_SLICES = 6
"""A run of fewer slices has no shape to show."""

MARKS = string.ascii_lowercase + string.ascii_uppercase
_BLOCKS, _ASCII = " ▁▂▃▄▅▆▇█", " .:-=+*#@"


def spark(values: Sequence[int], top: int, *, ascii_only: bool = False) -> str:
    """A column for each value, an eighth of a block for each eighth of `top`; only nothing is blank."""
    levels = _ASCII if ascii_only else _BLOCKS
    return "".join(levels[min(8, max(1, round(8 * value / top)))] if value and top else " " for value in values)


def rows_of(traffic: Traffic) -> dict[str, list[int]]:
    """Calls over time by replica, its processes together; by address where it has no name. r2 before r10."""
    rows: dict[str, list[int]] = {}
    for (replica, address), counts in sorted(traffic.calls.items(), key=lambda item: natural_key(*item[0])):
        if label := replica or address:
            before = rows.get(label)
            rows[label] = counts if before is None else [a + b for a, b in zip(before, counts, strict=True)]
    return rows


class Chart:
    """The lines of a history.

    Args:
        history: What to draw.
        paper: What it is written on.
        marks: A letter for each of its happenings; by default those that belong together share one, from a on.
    """

    def __init__(self, history: History, paper: Paper, marks: Sequence[str] | None = None) -> None:
        self._history = history
        self._happenings = history.shown if marks is None else history.happenings
        self._letters = MARKS if marks is None else marks
        self._paper = paper
        traffic = history.traffic.coarser(max(10, paper.width - LABEL - 2))
        # The last slice ends with the run, in the middle or sooner: its short bar would tell of a fall that never was.
        # But a failure must show: calls that nobody answered often are what the end was waiting for.
        short = 0 < history.elapsed_s / traffic.width_s % 1.0 < 0.5 and not any(traffic.failures()[-1:])
        self._traffic = traffic.but_the_last() if short and traffic.slices > LEAST_SLICES else traffic
        self.shows_shape = self._traffic.slices >= LEAST_SLICES

    def lines(self) -> Iterator[str]:
        """The chart, then its events."""
        if self.shows_shape:
            yield from self.shape()
        yield from self._events()

    def shape(self) -> Iterator[str]:
        """The chart alone."""
        paper, traffic = self._paper, self._traffic
        rows = rows_of(traffic)
        top = max((max(row, default=0) for row in rows.values()), default=0)
        tallest = "#" if paper.ascii_only else "█"
        scale = f", {tallest} is {counted(top, 'call')}" if top else ""
        head = f"a column is {duration(traffic.width_s)}{scale}"
        yield self._row("timeline", head, DIM)
        for number, (label, row) in enumerate(rows.items()):
            if number == MOST_ROWS and len(rows) > MOST_ROWS + 1:
                yield self._row("", f"and {len(rows) - MOST_ROWS} more backends", DIM)
                break
            yield self._row(label, spark(row, top, ascii_only=paper.ascii_only), GREEN)
        failures = traffic.failures()
        if any(failures):
            yield self._row("failed", spark(failures, max(failures), ascii_only=paper.ascii_only), RED)
        if self._happenings:
            yield self._row("events", self._marks(), BOLD, YELLOW)
        yield self._row("", self._axis(), DIM)

    def _row(self, label: str, text: str, *codes: str) -> str:
        paper = self._paper
        label = paper.fit(label)
        label = label if len(label) <= LABEL - 2 else label[: LABEL - 3] + paper.fit("…")[0]
        return f" {paper.paint(f'{label:<{LABEL - 1}}', DIM)}{paper.paint(text, *codes)}"

    def _column(self, at_s: float) -> int:
        column = int((at_s - self._traffic.begin_s) / self._traffic.width_s)
        return min(max(0, column), max(0, self._traffic.slices - 1))

    def _marks(self) -> str:
        """Each event's letter in its column; where several meet, the first."""
        cells = [" "] * self._traffic.slices
        for mark, happening in zip(self._letters, self._happenings, strict=False):
            column = self._column(happening.at_s)
            if cells[column] == " ":
                cells[column] = mark
        return "".join(cells)

    def _axis(self) -> str:
        """Times below the columns, as many as stand apart."""
        span_s = self._traffic.slices * self._traffic.width_s
        step_s = next((step for step in _STEPS_S if span_s / step * 8 <= self._traffic.slices), _STEPS_S[-1])
        from_s = self._traffic.begin_s - self._history.begin_s
        line, number = "", math.ceil(from_s / step_s - 1e-9)
        while number * step_s <= from_s + span_s + 1e-9:
            column = round((number * step_s - from_s) / self._traffic.width_s)
            text = _time(number * step_s)
            if column >= len(line) and LABEL + column + len(text) < self._paper.width:
                line = f"{line:<{column}}{text}"
            number += 1
        return line

    def _events(self) -> Iterator[str]:
        happenings, paper = self._happenings, self._paper
        for mark, happening in zip(self._letters, happenings[:MOST_EVENTS], strict=False):
            at = f"{happening.at_s - self._history.begin_s:+.2f} s"
            style = () if happening.source == "cluster" else (DIM,)
            letter = paper.paint(mark if self.shows_shape else " ", BOLD, YELLOW)
            room = max(20, paper.width - _TEXT_AT - 1)
            for number, line in enumerate(_wrapped(paper.fit(described(happening)), room)):
                first = f" {letter} {at:>{_TEXT_AT - 5}}  "
                yield (" " * _TEXT_AT if number else first) + paper.paint(line, *style)
        if len(happenings) > MOST_EVENTS:
            yield paper.paint(paper.fit(f"   … {len(happenings) - MOST_EVENTS:,} more events"), DIM)


_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


def _time(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:g} m"


def _wrapped(text: str, room: int) -> list[str]:
    """The text in lines, no figure parted from its unit."""
    whole = re.sub(r"(\d) (µs|us|ms|s|m)\b", "\\1\N{NO-BREAK SPACE}\\2", text)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(whole, room, break_on_hyphens=False)]


def described(happening: Happening) -> str:
    """What happened, and what came of it: `r2 died (killed by SIGKILL): noticed after 3 ms, 4 in flight`."""
    what = happening.text + (f" ({happening.detail})" if happening.detail else "")
    more = consequence(happening)
    return f"{what}: {more}" if more else what


def consequence(happening: Happening) -> str:
    """When the client noticed, and what it cost, in one line; "" where there is nothing to say."""
    pieces = []
    if happening.noticed_s is not None:
        early = happening.noticed_s < 0
        pieces.append("noticed at once" if early else f"noticed after {duration(happening.noticed_s)}")
    elif happening.is_going:
        pieces.append("not noticed")
    if happening.impact is not None:
        pieces += _impact(happening.impact)
    return ", ".join(pieces)


def _impact(impact: Impact) -> Iterator[str]:
    if impact.in_flight:
        yield f"{impact.in_flight:,} in flight" + (
            f", {impact.in_flight_failed:,} of them failed" if impact.in_flight_failed else ", tried again"
        )
    if impact.after:
        last = "" if impact.last_s is None else f" (the last after {duration(impact.last_s)})"
        failed = f", {impact.failed_after:,} of them failed" if impact.failed_after else ""
        yield f"{counted(impact.after, 'call')} still went there{last}{failed}"
    else:
        yield "no call went there after it"
