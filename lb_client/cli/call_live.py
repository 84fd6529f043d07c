"""What `lbdemo call` shows on stderr while calls are made: a bar once it takes a second, or `--watch`'s live spread.

It runs on the loop that sends the calls: whatever a frame costs, calls in flight are measured to have waited for.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, TextIO

from lb_client.cli.call_screen import Screen
from lb_client.membership import MOMENT_MAX_S, MOMENT_S, MemberState, in_order, natural_key
from lb_client.paper import BOLD, DIM, GREEN, RED, YELLOW
from lb_client.phrases import counted, duration, printable
from lb_client.rows import NOBODY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lb_client.cli.call_axis import LiveAxis
    from lb_client.history.happenings import Happening
    from lb_client.measurement import Measurement
    from lb_client.paper import Paper

    Counts = dict[tuple[str, str], int]
    Rates = dict[tuple[str, str], float]

TICK_S = 0.1
PATIENCE_S = 1.0
"""What takes longer than this shows that it goes on."""

_LEAST_BAR = 8
_NOBODY = "no backend known"


class Window:
    """Recent calls by backend, over the shortest stretch that holds enough: a fifth of a second to two. Pure."""

    ENOUGH = 60
    LONGEST_S = 2.0
    SHORTEST = 2

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Counts]] = deque()

    def add(self, at_s: float, counts: Counts) -> None:
        """A sample of the totals so far."""
        self._samples.append((at_s, dict(counts)))
        while len(self._samples) > 2 and at_s - self._samples[1][0] >= self.LONGEST_S:
            self._samples.popleft()

    def rates(self) -> Rates:
        """Calls per second by backend over the window; empty before the second sample."""
        if len(self._samples) < 2:
            return {}
        now_s, now = self._samples[-1]
        then_s, then = self._samples[0]
        for back, (at_s, counts) in enumerate(reversed(self._samples)):
            if back >= self.SHORTEST and sum(now.values()) - sum(counts.values()) >= self.ENOUGH:
                then_s, then = at_s, counts
                break
        span_s = max(now_s - then_s, 1e-9)
        return {key: (number - then.get(key, 0)) / span_s for key, number in now.items()}


def done_part(measurement: Measurement, elapsed_s: float) -> float:
    """How much of the load is behind us, 0 to 1, whichever bound is nearer."""
    load = measurement.load
    by_count = measurement.recorder.calls / load.count if load.count else 0.0
    by_time = elapsed_s / load.duration_s if load.duration_s else 0.0
    return min(1.0, max(by_count, by_time))


async def show_progress(measurement: Measurement) -> None:
    """Draw a bar on stderr, if that is a terminal and it takes more than a second; cancel it to erase it."""
    if not sys.stderr.isatty():
        return
    begin_s = time.monotonic()
    await asyncio.sleep(PATIENCE_S)
    with Screen(sys.stderr) as screen:
        while True:
            await measurement.flush()
            elapsed_s = time.monotonic() - begin_s
            paper = screen.paper
            part, calls = done_part(measurement, elapsed_s), measurement.recorder.calls
            failed = measurement.recorder.failed
            line = f" {paper.paint(paper.bar(part, 24), GREEN)} {part:4.0%}  {counted(calls, 'call')}"
            line += paper.paint(f", {failed:,} failed", RED) if failed else ""
            left = f", {duration(elapsed_s / part - elapsed_s)} left" if 0.02 < part < 1 else ""
            screen.draw([f"{line}  {calls / elapsed_s:,.0f}/s{left}"])
            await asyncio.sleep(TICK_S)


async def watch_spread(measurement: Measurement, title: str, heard: Sequence[Happening] = ()) -> None:
    """Show the spread as it is now, ten times a second on a terminal, once a second in a pipe; until cancelled.

    Args:
        measurement: That runs.
        title: What it is.
        heard: What the cluster says; it grows meanwhile.
    """
    from lb_client.cli.call_axis import LiveAxis  # noqa: PLC0415 -- a bar needs none of it

    live = LiveSpread(measurement, title, heard=heard, axis=LiveAxis(measurement.recording))
    if not sys.stderr.isatty():
        await live.write_lines(sys.stderr)
        return
    with Screen(sys.stderr) as screen:
        while True:
            await measurement.flush()
            above, lines = live.frame(screen.paper)
            screen.draw(lines, above=above)
            await asyncio.sleep(TICK_S)


class LiveSpread:
    """Frames of the live view from a measurement that runs.

    Args:
        measurement: That runs.
        title: What it is.
        heard: What the cluster says; it grows meanwhile.
        axis: Draws the last seconds; None for none.
    """

    def __init__(
        self,
        measurement: Measurement,
        title: str,
        *,
        heard: Sequence[Happening] = (),
        axis: LiveAxis | None = None,
    ) -> None:
        self._measurement = measurement
        self._title = title
        self._window = Window()
        self._begin_s = time.monotonic()
        self._events_told = 0
        self._heard = heard
        self._heard_told = 0
        self._axis = axis

    def frame(self, paper: Paper) -> tuple[list[str], list[str]]:
        """The lines that are news for good, and those to be drawn over by the next frame."""
        now_s = time.monotonic()
        counts = self._counts()
        self._window.add(now_s, counts)
        rates = self._window.rates()
        news = [self._told(paper, happening) for happening in self._news(now_s)]
        axis = self._axis.lines(paper, now_s) if self._axis is not None else []
        return news, [self._head(paper, now_s), "", *self._table(paper, counts, rates), *axis]

    def _told(self, paper: Paper, happening: Happening) -> str:
        letter = "" if self._axis is None else f"{self._axis.mark(happening)} "
        return paper.paint(paper.fit(f" {letter}{self._line(happening)}"), YELLOW)

    def _line(self, happening: Happening) -> str:
        detail = f" ({happening.detail})" if happening.detail else ""
        return f"{happening.at_s - self._begin_s:6.2f} s  {happening.text}{detail}"

    async def write_lines(self, out: TextIO) -> None:
        """The same for a pipe: events as they come, the recent spread once a second."""
        next_s = self._begin_s + 1.0
        while True:
            await asyncio.sleep(TICK_S)
            await self._measurement.flush()
            now_s = time.monotonic()
            self._window.add(now_s, self._counts())
            lines = [self._line(happening) for happening in self._news(now_s)]
            if now_s >= next_s:
                next_s += 1.0
                lines.append(f"{now_s - self._begin_s:6.1f} s  {self.shares(self._window.rates())}")
            for line in lines:
                print(printable(line), file=out, flush=True)

    def shares(self, rates: Rates) -> str:
        """Who gets how much now, in one line; two of the same name are told apart by their addresses."""
        total = sum(rates.values()) or 1.0
        named = Counter(replica for replica, _ in rates if replica)
        pieces = [f"{sum(rates.values()):,.0f}/s"]
        for key in sorted(rates, key=_order):
            replica, address = key
            label = f"{replica} ({address})" if named[replica] > 1 else replica or address or "nobody"
            pieces.append(f"{label} {self._absence(key, rates) or f'{rates[key] / total:.1%}'}")
        return "  ".join(pieces)

    def _absence(self, key: tuple[str, str], rates: Rates) -> str:
        """Why a backend that has answered its last call gets no more: `gone`, or `stands by`; "" while it gets some."""
        now = self._measurement.tracker.now
        if now is None or key == NOBODY or key[1] in now.ready_addresses or rates.get(key):
            return ""
        stands_by = any(m.address == key[1] and m.state is MemberState.STANDBY for m in now.members)
        return MemberState.STANDBY.value if stands_by else "gone"

    def _head(self, paper: Paper, now_s: float) -> str:
        load, recorder = self._measurement.load, self._measurement.recorder
        elapsed_s = now_s - self._begin_s
        clock = f"{elapsed_s:.1f} s" + (f" of {duration(load.duration_s)}" if load.duration_s else "")
        calls = f"{recorder.calls:,}{f' of {load.count:,}' if load.count else ''} calls"
        failed = paper.paint(f"{recorder.failed:,} failed", RED) if recorder.failed else "0 failed"
        room = paper.width - len(clock) - len(calls) - 24
        title = self._title if len(self._title) <= room else f"{self._title[: max(0, room - 1)]}…"
        return f" {paper.paint(title, BOLD)}  {clock}  {calls}  {failed}"

    def _table(self, paper: Paper, counts: Counts, rates: Rates) -> list[str]:
        total_rate = sum(rates.values())
        top_rate = max(rates.values(), default=0.0)
        address_width = min(max([len(address or _NOBODY) for _, address in counts] + [7]), 40)
        id_width = min(max([len(replica) for replica, _ in counts] + [7]), 20)
        left = paper.width - id_width - address_width - 42
        # The terminal would cut a row in the middle of a figure: where all do not fit, the totals stay away.
        narrow = left < _LEAST_BAR
        bar_width = max(_LEAST_BAR, min(40, left + 20 * narrow))
        names = f" {'backend':<{id_width}}  {'address':<{address_width}}  {'now':<{bar_width + 7}}"
        head = f"{names}  {'per s':>7}" + ("" if narrow else f"  {'calls':>10}  {'share':>6}")
        lines = [paper.paint(head[: paper.width - 1], DIM)]
        total = sum(counts.values()) or 1
        for key in sorted(counts, key=_order):
            replica, address = key
            rate = rates.get(key, 0.0)
            share = rate / total_rate if total_rate else 0.0
            name = f"{printable(replica or '—')[:id_width]:<{id_width}}"
            where = f"{printable(address or _NOBODY)[:address_width]:<{address_width}}"
            figures = f"{rate:>7,.0f}" + ("" if narrow else f"  {counts[key]:>10,}  {counts[key] / total:>6.1%}")
            if absence := self._absence(key, rates):
                lines.append(paper.paint(f" {name}  {where}  {absence:<{bar_width + 7}}  {figures}", DIM))
                continue
            bar = paper.paint(paper.bar(rate / top_rate if top_rate else 0.0, bar_width), GREEN)
            lines.append(f" {paper.paint(name, BOLD)}  {where}  {bar} {share:>6.1%}  {figures}")
        return lines

    def _counts(self) -> Counts:
        """Calls so far by backend: as answers name them, else by connection; members that got none yet are there."""
        recorder = self._measurement.recorder
        counts = {key: tally.calls for key, tally in recorder.backends.items()}
        if set(counts) <= {NOBODY}:
            counts = {("", address): sent.started for address, sent in self._measurement.traffic().items()}
        known = {address for _, address in counts}
        tracker = self._measurement.tracker
        for member in tracker.now.ready if tracker.now is not None else ():
            if member.address not in known:
                counts[member.id, member.address] = 0
        return counts

    def _news(self, now_s: float) -> list[Happening]:
        from lb_client.history.happenings import noticed  # noqa: PLC0415 -- a bar needs none of it

        events = self._measurement.tracker.events[self._events_told :]
        # More may belong to the last of them: what happens together is told together, in order.
        if events and now_s - events[-1].at_s <= MOMENT_S and now_s - events[0].at_s <= MOMENT_MAX_S:
            return []
        self._events_told += len(events)
        seen = [noticed(event) for event in in_order(events)]
        heard = list(self._heard[self._heard_told :])
        self._heard_told += len(heard)
        return sorted([*seen, *heard], key=lambda happening: happening.at_s) if heard else seen


def _order(key: tuple[str, str]) -> tuple[bool, str, int, str, str, str]:
    return natural_key(*key)
