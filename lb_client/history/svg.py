"""A run's charts as SVG: calls per second by backend, failures, latency, with the events as lines through all. Pure.

Colours are classes that the page's style sheet defines, so that one drawing suits light and dark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from lb_client.history.chart import MARKS, rows_of
from lb_client.phrases import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lb_client.history.history import History
    from lb_client.history.traffic import Traffic

WIDTH = 1000
LEFT, RIGHT = 58, 12
MOST_SERIES = 8
"""Backends with a colour of their own; the smallest share one."""

_TICKS_S = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_HEIGHTS = {"calls": 220, "failed": 70, "latency": 130}
_TOP, _GAP, _FOOT = 62, 34, 24


@dataclass(frozen=True, slots=True)
class _Panel:
    """One chart's place: from `top` down, values from 0 to `most`."""

    top: float
    height: float
    most: float

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - min(value, self.most) / self.most)


def series_of(traffic: Traffic) -> list[tuple[str, list[int]]]:
    """Calls by backend, at most MOST_SERIES of them: the smallest together. Calls of nobody known are left out."""
    rows = rows_of(traffic)
    if len(rows) <= MOST_SERIES:
        return list(rows.items())
    largest = sorted(rows, key=lambda label: -sum(rows[label]))[: MOST_SERIES - 1]
    rest = [row for label, row in rows.items() if label not in largest]
    named = [(label, row) for label, row in rows.items() if label in largest]
    return [*named, (f"{len(rest)} others", [sum(column) for column in zip(*rest, strict=True)])]


def round_up(value: float) -> float:
    """The next round number: where an axis ends."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        step * power for step in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if value <= step * power * (1 + 1e-9)
    )


class Charts:
    """Draws one history."""

    def __init__(self, history: History) -> None:
        self._traffic = history.traffic
        self._happenings = history.shown
        self._series = series_of(history.traffic)
        self._span_s = max(history.traffic.slices, 1) * history.traffic.width_s
        self._p50, self._p99 = (
            [histogram.percentile(percent) for histogram in history.traffic.latency] for percent in (50, 99)
        )

    @property
    def labels(self) -> list[str]:
        """The backends with a colour, in the order of the colours."""
        return [label for label, _ in self._series]

    def svg(self) -> str:
        """The whole drawing."""
        failures = self._traffic.failures()
        width_s = self._traffic.width_s
        top = _TOP
        parts: list[str] = []
        busiest = max((sum(column) for column in zip(*(row for _, row in self._series), strict=True)), default=0)
        calls = _Panel(top, _HEIGHTS["calls"], round_up(busiest / width_s))
        parts += [*self._frame(calls, "{:,.0f}"), *self._stack(calls)]
        top += _HEIGHTS["calls"] + _GAP
        panels = [(calls, "calls per second")]
        if any(failures):
            failed = _Panel(top, _HEIGHTS["failed"], round_up(max(failures)))
            parts += [*self._frame(failed, "{:,.0f}", parts=1), *self._bars(failed, failures)]
            top += _HEIGHTS["failed"] + _GAP
            panels.append((failed, "failed calls"))
        slowest = max((value for value in self._p99 if value is not None), default=0.0) * 1000
        if slowest:
            latency = _Panel(top, _HEIGHTS["latency"], round_up(slowest))
            parts += [*self._frame(latency, "{:g}"), *self._band(latency)]
            top += _HEIGHTS["latency"] + _GAP
            panels.append((latency, "latency in ms, p50 and p99"))
        bottom = panels[-1][0].top + panels[-1][0].height
        parts += [*self._axis(bottom), *self._events(bottom), *_names(panels), *self._tips(bottom, failures)]
        size = f'viewBox="0 0 {WIDTH} {bottom + _FOOT:.0f}"'
        title = "calls per second by backend, failures and latency over the time of the run"
        return f'<svg {size} role="img" aria-label="{title}">{"".join(parts)}</svg>'

    def _x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(seconds / self._span_s, 0.0), 1.0)

    def _edge(self, index: int) -> float:
        return self._x(index * self._traffic.width_s)

    def _frame(self, panel: _Panel, form: str, *, parts: int = 2) -> Iterator[str]:
        for part in range(parts + 1):
            value = panel.most * part / parts
            y = panel.y(value)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            yield f'<text class="tick end" x="{LEFT - 6}" y="{y + 4:.1f}">{form.format(value)}</text>'

    def _stack(self, panel: _Panel) -> Iterator[str]:
        """One area for each backend, on top of those before."""
        width_s = self._traffic.width_s
        below = [0.0] * self._traffic.slices
        for number, (label, row) in enumerate(self._series):
            above = [base + value / width_s for base, value in zip(below, row, strict=True)]
            shape = self._steps(panel, above) + self._steps(panel, below, back=True)
            yield f'<path class="s{number}" d="M{shape}Z"><title>{escape(label)}</title></path>'
            below = above

    def _steps(self, panel: _Panel, values: Sequence[float], *, back: bool = False) -> str:
        """A line that keeps each value for its slice, from left to right or back."""
        corners = [(self._edge(index + side), panel.y(value)) for index, value in enumerate(values) for side in (0, 1)]
        points = [f"{x:.1f} {y:.1f}" for x, y in (reversed(corners) if back else corners)]
        return ("L" if back else "") + "L".join(points)

    def _bars(self, panel: _Panel, values: Sequence[int]) -> Iterator[str]:
        for index, value in enumerate(values):
            if value:
                x, y = self._edge(index), panel.y(value)
                # A slice of a long run is narrower than a line: it must still be seen.
                wide = max(2.0, self._edge(index + 1) - x)
                yield f'<rect class="bad" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{panel.y(0) - y:.1f}"/>'

    def _band(self, panel: _Panel) -> Iterator[str]:
        """The band from p50 to p99, interrupted where nothing was answered."""
        known = [index for index, value in enumerate(self._p50) if value is not None]
        for run in _runs(known):
            points = [(self._edge(index) + self._edge(index + 1)) / 2 for index in run]
            high, low = ([panel.y((column[index] or 0.0) * 1000) for index in run] for column in (self._p99, self._p50))
            if len(run) == 1:  # a line of one point would not be seen
                points, high, low = [self._edge(run[0]), self._edge(run[0] + 1)], high * 2, low * 2
            there = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(points, high, strict=True))
            back = "L".join(f"{x:.1f} {y:.1f}" for x, y in reversed(list(zip(points, low, strict=True))))
            yield f'<path class="band" d="M{there}L{back}Z"/>'
            yield f'<path class="p99" d="M{there}"/><path class="p50" d="M{back}"/>'

    def _axis(self, bottom: float) -> Iterator[str]:
        step_s = next((step for step in _TICKS_S if self._span_s / step <= 10), _TICKS_S[-1])
        for number in range(int(self._span_s / step_s + 1e-9) + 1):
            x = self._x(number * step_s)
            yield f'<path class="grid" d="M{x:.1f} {bottom:.1f}v4"/>'
            where = "" if x < WIDTH - 30 else " end"
            yield f'<text class="tick mid{where}" x="{x:.1f}" y="{bottom + 17:.1f}">{number * step_s:g} s</text>'

    def _events(self, bottom: float) -> Iterator[str]:
        ends = [-100.0] * 3  # where the last letter of each of three lines stands: close ones lie above each other
        for mark, happening in zip(MARKS, self._happenings, strict=False):
            x = self._x(happening.at_s - self._traffic.begin_s)
            yield f'<g class="event {happening.source}"><title>{escape(happening.text)}</title>'
            yield f'<path d="M{x:.1f} {_TOP - 4}V{bottom:.1f}"/>'
            line = next((number for number, end in enumerate(ends) if x - end > 11), len(ends) - 1)
            ends[line] = x
            yield f'<text x="{x:.1f}" y="{_TOP - 8 - 12 * line}">{mark}</text></g>'

    def _tips(self, bottom: float, failures: Sequence[int]) -> Iterator[str]:
        """Unseen columns that say on hovering what is in their slice."""
        for index, failed in enumerate(failures):
            x = self._edge(index)
            begin_s, end_s = index * self._traffic.width_s, (index + 1) * self._traffic.width_s
            lines = [f"{begin_s:.2f} to {end_s:.2f} s"]
            lines += [f"{label}: {row[index]:,} calls" for label, row in self._series if row[index]]
            lines += [f"failed: {failed:,}"] if failed else []
            if (p50 := self._p50[index]) is not None and (p99 := self._p99[index]) is not None:
                lines.append(f"p50 {duration(p50)}, p99 {duration(p99)}")
            tip = escape("\n".join(lines))
            size = f'width="{self._edge(index + 1) - x:.1f}" height="{bottom - _TOP:.0f}"'
            yield f'<rect class="tip" x="{x:.1f}" y="{_TOP}" {size}><title>{tip}</title></rect>'


def _names(panels: Sequence[tuple[_Panel, str]]) -> Iterator[str]:
    """What each panel shows; the first above the letters of the events, the others over their lines."""
    for number, (panel, title) in enumerate(panels):
        y = panel.top - 8 if number else 14
        yield f'<text class="name" x="{LEFT}" y="{y:.0f}">{escape(title)}</text>'


def _runs(indexes: Sequence[int]) -> list[list[int]]:
    """Stretches of numbers that follow each other."""
    if not indexes:
        return []
    runs = [[indexes[0]]]
    for before, index in pairwise(indexes):
        if index == before + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
