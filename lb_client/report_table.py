"""The report as a page for a terminal of 80 columns or more; plain in a pipe, ASCII where nothing else can be shown.

Drawn by hand: rich would look the same and cost 25 ms, a tenth of what `lbdemo call --count 100` takes in all.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from lb_client.membership import in_order
from lb_client.paper import BOLD, DIM, GREEN, RED, YELLOW
from lb_client.phrases import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lb_client.membership import Member
    from lb_client.paper import Paper
    from lb_client.report import Report
    from lb_client.rows import Row
    from lb_client.stats import LatencyHistogram

MAX_ROWS = 40
"""More backends than this are cut from the table's middle; the JSON has them all."""

MAX_EVENTS = 8

_UNKNOWN = "—"


def page_of(report: Report, paper: Paper) -> str:
    """The report as text, with an empty line before and after it."""
    page = _Page(report, paper)
    lines = ["", *page.title(), "", *page.backends(), "", *page.facts(), "", *page.history(), *page.verdict(), ""]
    return "".join(f"{line.rstrip()}\n" for line in lines)


class _Page:
    def __init__(self, report: Report, paper: Paper) -> None:
        self._report = report
        self._paper = paper
        rows = report.rows.known
        self._id_width = min(20, max([7, *(len(row.id) for row in rows)]))
        self._address_width = min(40, max([7, *(len(row.address) for row in rows), 16 if report.rows.lost else 0]))
        self._calls_width = max(5, len(f"{report.calls:,}"))
        shown = [m for row in rows if (m := report.members.get(row.address))]
        self._telling = _telling(shown, list(report.members.values()))
        self._more_width = sum(width + 2 for _, width in self._telling)
        # What the other columns leave, margins and gaps included.
        left = paper.width - self._id_width - self._address_width - self._calls_width - self._more_width - 42
        self._bar_width = max(4, min(40, left))
        self._top = max((row.calls for row in rows), default=0)

    def title(self) -> Iterator[str]:
        question = self._report.question
        where = f"{question.policy} {'in a proxy ' if question.proxy else ''}over {question.target}"
        where += f", zone {question.zone} first" if question.zone else ""
        yield from self._wrapped(where, " ", " ", BOLD)

    def backends(self) -> Iterator[str]:
        """One row for each backend, the bar longest for the largest share: unevenness is easy to see."""
        more = "".join(f"  {name:<{width}}" for name, width in self._telling)
        where = f"{'address':<{self._address_width}}{more}"
        head = self._columns("backend", where, "calls", "share", " " * self._bar_width, "failed", "p50 ms", "p99 ms")
        yield self._paper.paint(head, DIM)
        rows = self._report.rows.known
        for number, row in enumerate(rows):
            if len(rows) > MAX_ROWS and MAX_ROWS - 4 <= number < len(rows) - 4:
                if number == MAX_ROWS - 4:
                    yield self._paper.paint(self._paper.fit(f" … {len(rows) - MAX_ROWS:,} more"), DIM)
                continue
            yield self._row(row, row.id or _UNKNOWN, row.address, BOLD)
        if self._report.rows.lost:
            yield self._row(self._report.rows.lost, "none", "no backend known", YELLOW)

    def _row(self, row: Row, name: str, address: str, style: str) -> str:
        paper = self._paper
        # Widths are counted before colours come in.
        return self._columns(
            paper.paint(self._cell(name, self._id_width), style),
            self._cell(address, self._address_width) + self._more(row),
            f"{row.calls:,}",
            f"{self._report.share(row):.1%}",
            paper.paint(paper.bar(row.calls / self._top if self._top else 0.0, self._bar_width), GREEN),
            paper.paint(f"{row.failed:>6,}", RED if row.failed else DIM),
            paper.fit(milliseconds(row.latency, 50)),
            paper.fit(milliseconds(row.latency, 99)),
        )

    def _more(self, row: Row) -> str:
        """The cells of zone, version and weight, where there are such columns."""
        member = self._report.members.get(row.address)
        return "".join(f"  {self._cell(_told(member, name), width)}" for name, width in self._telling)

    def _columns(self, *cells: str) -> str:
        name, address, calls, share, bar_, failed, p50, p99 = cells
        left = f" {name:<{self._id_width}}  {address}  {calls:>{self._calls_width}}"
        return f"{left}  {share:>6}  {bar_}  {failed:>6}  {p50:>6}  {p99:>6}"

    def _cell(self, text: str, width: int) -> str:
        text = self._paper.fit(text)
        return (text if len(text) <= width else text[: width - 1] + self._paper.fit("…")[0]).ljust(width)

    def facts(self) -> Iterator[str]:
        report, run = self._report, self._report.run
        if report.question.proxy:
            yield from self._fact("proxy", f"{report.question.proxy}, {report.question.proxy_origin}")
        yield from self._fact("asked", asked(report.question.requested))
        cut = f", {counted(run.abandoned, 'call')} cut off" if run.abandoned else ""
        ended = " (interrupted)" if run.stopped else ""
        done = f"{counted(report.calls, 'call')} in {duration(run.elapsed_s)}, {report.rate_per_s:,.0f}/s{cut}{ended}"
        yield from self._fact("done", done)
        statuses = "  ".join(f"{status} {count:,}" for status, count in report.statuses.items())
        yield from self._fact("status", statuses or _UNKNOWN, RED if report.failed else GREEN)
        yield from self._fact("latency", latency_line(report.latency))
        warm_up = report.warm_up
        of = len(warm_up.connected) + len(warm_up.missing)
        connected = f"{len(warm_up.connected)} of {of} connected" if warm_up.missing else f"{of} connected"
        yield from self._fact("warm-up", f"{connected} in {duration(warm_up.elapsed_s)}, not counted")
        if not self._has_history:
            yield from self._events()
        if report.answer is not None:
            yield from self._fact("answer", _one_line(report.answer))

    def _events(self) -> Iterator[str]:
        events = in_order(self._report.events)
        for number, event in enumerate(events[:MAX_EVENTS]):
            at = f"{event.at_s - self._report.run.begin_s:+.2f} s"
            yield from self._fact("" if number else "events", f"{at}  {event.text}")
        if len(events) > MAX_EVENTS:
            yield from self._fact("", f"… {len(events) - MAX_EVENTS:,} more")

    @property
    def _has_history(self) -> bool:
        """Whether there is more to draw than a few lines: something happened, and for long enough to have a shape."""
        history = self._report.history
        return history is not None and bool(history.happenings or history.ledger)

    def history(self) -> Iterator[str]:
        """Traffic and events over time, and the ledger; nothing of a run in which nothing happened."""
        history = self._report.history
        if history is None or not self._has_history:
            return
        from lb_client.history.chart import Chart  # noqa: PLC0415 -- most runs have no history
        from lb_client.ledger.words import lines as ledger_lines  # noqa: PLC0415 -- the same

        drawn = list(Chart(history, self._paper).lines())
        yield from [*drawn, ""] if drawn else []
        if history.ledger is not None:
            for number, line in enumerate(ledger_lines(history.ledger)):
                yield from self._fact("" if number else "ledger", line)
            yield ""

    def _fact(self, name: str, text: str, *codes: str) -> Iterator[str]:
        yield from self._wrapped(text, f" {self._paper.paint(f'{name:<8}', DIM)} ", " " * 10, *codes)

    def verdict(self) -> Iterator[str]:
        verdict, paper = self._report.verdict, self._paper
        good = verdict.as_expected
        mark, colour = ("✔", GREEN) if good else ("✘", RED) if good is False else ("?", YELLOW)
        if good and self._report.failed:
            colour = YELLOW  # an even spread of failures is nothing to be glad of
        first = f" {paper.paint(paper.fit(mark), BOLD, colour)} "
        yield from self._wrapped(verdict.sentence, first, "   ", BOLD, colour)
        yield from self._wrapped(f"expected: {verdict.expected}", "   ", "   ", DIM)
        for reason in verdict.reasons:
            yield from self._wrapped(reason, f" {paper.fit('·')} ", "   ")

    def _wrapped(self, text: str, first: str, indent: str, *codes: str) -> Iterator[str]:
        """The text in lines of the page's width, the first behind `first`, the others behind `indent`."""
        width = max(20, self._paper.width - len(indent))
        lines = textwrap.wrap(self._paper.fit(text), width, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            yield (indent if number else first) + self._paper.paint(line, *codes)


def _telling(members: Sequence[Member], all_there_are: Sequence[Member]) -> list[tuple[str, int]]:
    """The further columns that say anything, with their widths: zones if any, versions and weights that differ."""
    found = []
    if any(member.zone for member in members):
        found.append("zone")
    if len({member.version for member in all_there_are}) > 1:
        found.append("version")
    if len({member.weight for member in members}) > 1:
        found.append("weight")
    return [(name, min(16, max([len(name), *(len(_told(member, name)) for member in members)]))) for name in found]


def _told(member: Member | None, name: str) -> str:
    return "" if member is None else str(getattr(member, name))


def milliseconds(latency: LatencyHistogram | None, percent: float) -> str:
    """A percentile with three figures, such as `0.64` or `12.3`; a dash where nothing is known."""
    value = None if latency is None else latency.percentile(percent)
    if value is None:
        return _UNKNOWN
    ms = value * 1000
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def latency_line(latency: LatencyHistogram) -> str:
    """min, percentiles and max in one line."""
    if not latency.count:
        return _UNKNOWN
    middle = "  ".join(f"p{p} {duration(latency.percentile(p) or 0.0)}" for p in (50, 90, 99))
    return f"min {duration(latency.min_s)}  {middle}  max {duration(latency.max_s)}"


def asked(requested: Mapping[str, Any]) -> str:
    """The request in words: `100 calls, 1 at a time, deadline 5 s`."""
    count, length, rate = (requested.get(key) for key in ("count", "duration_s", "rate"))
    pieces = [counted(count, "call")] if count is not None else []
    if length is not None:
        pieces.append(f"{'at most ' if pieces else 'calls for '}{duration(length)}")
    concurrency = requested.get("concurrency", 1)
    if rate is not None:
        pieces.append(f"{rate:,g}/s on schedule, at most {concurrency:,} in flight")
    else:
        pieces.append(f"{concurrency:,} at a time")
    method = requested.get("method")
    if method:
        pieces.insert(0, str(method))
    retry, detection = requested.get("retry"), requested.get("outlier_detection")
    if retry:
        pieces.append(f"up to {retry['attempts']} attempts on {' or '.join(retry['codes'])}")
    if detection:
        pieces.append(f"outlier detection every {duration(detection['interval_s'])}")
    return ", ".join([*pieces, f"deadline {duration(requested.get('deadline_s', 0.0))}"])


def _one_line(answer: Any) -> str:
    import json  # noqa: PLC0415 -- only where an answer is shown

    line = json.dumps(answer, ensure_ascii=False)
    return line if len(line) <= 400 else line[:399] + "…"
