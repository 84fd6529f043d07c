"""The report of a run of streams as a page: the facts below a timeline, or a table when there were many."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from lb_client.paper import BOLD, DIM, GREEN, RED, YELLOW
from lb_client.phrases import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lb_client.paper import Paper
    from lb_client.stream_report import Row, StreamReport

MAX_ROWS = 40
MAX_NAMED = 5
_UNKNOWN = "—"


def page_of(report: StreamReport, paper: Paper) -> str:
    """The report as text, with an empty line before and after it. For one stream, what stands below its timeline."""
    page = _Page(report, paper)
    table = [] if report.moments else [*page.title(), "", *page.backends(), ""]
    lines = ["", *table, *page.facts(), "", *page.verdict(), ""]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def title_of(report: StreamReport, paper: Paper) -> str:
    """The first line."""
    policy = report.policy if report.via == "client" else f"{report.policy} in a proxy"
    return paper.paint(f" {title(policy, report.target, report.script.mode.value, paper)}", BOLD)


def title(policy: str, target: str, mode: str, paper: Paper) -> str:
    """What was asked, in a line."""
    return paper.fit(f"{mode}, {policy} over {target}")


class _Page:
    def __init__(self, report: StreamReport, paper: Paper) -> None:
        self._report = report
        self._paper = paper
        self._rows = report.rows
        self._id_width = min(20, max([7, *(len(row.id) for row in self._rows)]))
        self._address_width = min(40, max([7, *(len(row.address) for row in self._rows)]))
        self._streams_width = max(7, len(f"{len(report.talks):,}"))
        self._messages_width = max(8, len(f"{report.messages:,}"))
        taken = self._id_width + self._address_width + self._streams_width + self._messages_width + 26
        self._bar_width = max(4, min(24, (paper.width - taken) // 2))
        self._most_streams = max((row.streams for row in self._rows), default=0)
        self._most_messages = max((row.messages for row in self._rows), default=0)

    def title(self) -> Iterator[str]:
        yield title_of(self._report, self._paper)

    def backends(self) -> Iterator[str]:
        """Streams and messages side by side: where the bars differ, a stream carries more than another."""
        blank = " " * self._bar_width
        head = self._columns("backend", "address", "streams", blank, "messages", blank, "share", "failed")
        yield self._paper.paint(head, DIM)
        for number, row in enumerate(self._rows):
            if len(self._rows) > MAX_ROWS and MAX_ROWS - 4 <= number < len(self._rows) - 4:
                if number == MAX_ROWS - 4:
                    yield self._paper.paint(self._paper.fit(f" … {len(self._rows) - MAX_ROWS:,} more"), DIM)
                continue
            yield self._row(row)

    def _row(self, row: Row) -> str:
        paper = self._paper
        share = row.messages / self._report.messages if self._report.messages else 0.0
        return self._columns(
            paper.paint(self._cell(row.id or _UNKNOWN, self._id_width), BOLD),
            self._cell(row.address or "not known", self._address_width),
            f"{row.streams:,}",
            paper.paint(paper.bar(row.streams / max(1, self._most_streams), self._bar_width), GREEN),
            f"{row.messages:,}",
            paper.paint(paper.bar(row.messages / max(1, self._most_messages), self._bar_width), YELLOW),
            f"{share:.1%}",
            paper.paint(f"{row.failed:>6,}", RED if row.failed else DIM),
        )

    def _columns(self, *cells: str) -> str:
        name, address, streams, bar, messages, other_bar, share, failed = cells
        left = f" {name:<{self._id_width}}  {address:<{self._address_width}}  {streams:>{self._streams_width}} {bar}"
        return f"{left}  {messages:>{self._messages_width}} {other_bar}  {share:>6}  {failed:>6}"

    def _cell(self, text: str, width: int) -> str:
        text = self._paper.fit(text)
        return (text if len(text) <= width else text[: width - 1] + self._paper.fit("…")[0]).ljust(width)

    def facts(self) -> Iterator[str]:
        report = self._report
        yield from self._fact("asked", self._asked())
        done = f"{counted(len(report.talks), 'stream')}, {counted(report.sent, 'message')} written and "
        done += f"{report.received:,} read in {duration(report.elapsed_s)}, {report.rate_per_s:,.0f}/s"
        yield from self._fact("done", done + (" (interrupted)" if report.stopped else ""))
        statuses = "  ".join(f"{status} {count:,}" for status, count in report.statuses.items())
        yield from self._fact("status", statuses or _UNKNOWN, RED if report.failed else GREEN)
        yield from self._servers()
        if report.moves:
            moves = "  ".join(f"{reason} {count:,}" for reason, count in report.moves.items())
            yield from self._fact("moves", moves, YELLOW)
        if report.proxy:
            yield from self._fact("proxy", f"{report.proxy}, {report.proxy_origin}")
        warm_up = report.warm_up
        of = len(warm_up.connected) + len(warm_up.missing)
        connected = f"{len(warm_up.connected)} of {of} connected" if warm_up.missing else f"{of} connected"
        yield from self._fact("warm-up", f"{connected} in {duration(warm_up.elapsed_s)}, not counted")

    def _asked(self) -> str:
        report, script = self._report, self._report.script
        one = len(report.talks) == 1
        lines = "lines without end" if script.count is None else counted(script.count, "line")
        lines += "" if one or script.count is None else " each"
        if report.requested.get("uneven"):
            lines = f"stream n writes n times {counted(script.count or 0, 'line')}"
        pieces = [script.mode.value, *([] if one else [f"{counted(len(report.talks), 'stream')} at once"]), lines]
        if script.duration_s is not None:
            pieces.append(f"for {duration(script.duration_s)}")
        if script.interval_s:
            pieces.append(f"one each {duration(script.interval_s)}")
        if script.delay_s:
            pieces.append(f"the server waits {duration(script.delay_s)}")
        pieces.append(f"deadline {duration(script.deadline_s)}" if script.deadline_s else "no deadline")
        return ", ".join(pieces)

    def _servers(self) -> Iterator[str]:
        """How the replicas saw it: each of one stream's, or how many streams ended how."""
        report = self._report
        if len(report.talks) == 1:
            for view in report.views.get(report.talks[0].name, ()):
                saw = view.ending if view.ending != "no answer" else "it cannot be asked any more"
                if view.ending not in ("unknown", "no answer"):
                    saw += f", {view.received:,} read and {view.sent:,} written there, open {duration(view.open_s)}"
                yield from self._fact(f"{view.replica or _UNKNOWN} saw", saw)
        elif report.endings:
            yield from self._fact("servers", "  ".join(f"{ending} {n:,}" for ending, n in report.endings.items()))

    def _fact(self, name: str, text: str, *codes: str) -> Iterator[str]:
        name = self._paper.fit(name)[:8]
        yield from self._wrapped(text, f" {self._paper.paint(f'{name:<8}', DIM)} ", " " * 10, *codes)

    def verdict(self) -> Iterator[str]:
        report, paper = self._report, self._paper
        even, sentence, reasons = report.verdict()
        if report.failed:
            mark, colour = ("✘", RED)
        else:
            mark, colour = ("✔", GREEN) if even is not False else ("✘", RED)
        if len(report.talks) > 1 and even is None and not report.failed:
            mark, colour = "·", ""
        first = f" {paper.paint(paper.fit(mark), *([BOLD, colour] if colour else []))} "
        yield from self._wrapped(sentence, first, "   ", *([BOLD, colour] if colour else []))
        for reason in reasons:
            yield from self._wrapped(reason, "   ", "   ")
        for line in self._trouble():
            yield from self._wrapped(line, f" {paper.fit('·')} ", "   ", RED)

    def _trouble(self) -> Iterator[str]:
        report = self._report
        seen: dict[str, int] = {}
        for talk in report.talks:
            if talk.failed:
                line = f"{talk.status} instead of {report.script.mode.status}: {talk.details or 'no details'}"
                seen[line] = seen.get(line, 0) + 1
        for line, number in list(seen.items())[:MAX_NAMED]:
            yield f"{counted(number, 'stream')}: {line}"
        if len(seen) > MAX_NAMED:
            yield f"{len(seen) - MAX_NAMED:,} more ways to fail"
        if report.disagreements:
            yield f"client and replica tell different ends of {counted(len(report.disagreements), 'stream')}"

    def _wrapped(self, text: str, first: str, indent: str, *codes: str) -> Iterator[str]:
        width = max(20, self._paper.width - len(indent))
        lines = textwrap.wrap(self._paper.fit(text), width, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            yield (indent if number else first) + self._paper.paint(line, *codes)
