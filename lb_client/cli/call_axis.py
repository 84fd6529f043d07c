"""The last seconds of a run that goes on, as `--watch` draws them: a row of bars for each backend, events marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client.history.chart import LABEL, MARKS, Chart
from lb_client.history.history import History

if TYPE_CHECKING:
    from lb_client.history.happenings import Happening
    from lb_client.history.recording import RunRecording
    from lb_client.paper import Paper

MOST_COLUMNS = 120


class LiveAxis:
    """Draws the end of what is being recorded. Each event gets a letter as it is told, from a on, again after Z."""

    def __init__(self, recording: RunRecording) -> None:
        self._recording = recording
        self._told: list[tuple[str, Happening]] = []
        self._count = 0

    def mark(self, happening: Happening) -> str:
        """The letter for an event that is told now."""
        letter = MARKS[self._count % len(MARKS)]
        self._count += 1
        self._told = [*self._told[-len(MARKS) + 1 :], (letter, happening)]
        return letter

    def lines(self, paper: Paper, now_s: float) -> list[str]:
        """Rows, marks and axis; none as long as there is no shape to show."""
        columns = min(MOST_COLUMNS, max(10, paper.width - LABEL - 3))
        # The slice in hand is not full yet: its bar would always be a short one.
        traffic = self._recording.traffic.traffic(now_s, last=columns + 1).but_the_last()
        begin_s = self._recording.traffic.begin_s
        shown = [(letter, happening) for letter, happening in self._told if happening.at_s >= traffic.begin_s]
        history = History(begin_s, now_s - begin_s, traffic, tuple(happening for _, happening in shown))
        chart = Chart(history, paper, [letter for letter, _ in shown])
        return ["", *chart.shape()] if chart.shows_shape else []
