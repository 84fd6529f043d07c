"""The report as a page for a terminal of 80 columns or more; plain in a pipe, ASCII where nothing else can be shown."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lb_client.phrases import counted, duration, to_ascii

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lb_client.report import Report
    from lb_client.rows import Row
    from lb_client.stats import LatencyHistogram

PIPE_WIDTH = 100
"""Columns where no terminal says how many there are."""

MAX_ROWS = 40
"""More backends than this are cut from the table's middle; the JSON has them all."""

_EIGHTHS = " ▏▎▍▌▋▊▉"
_UNKNOWN = "—"


def plain_console() -> Console:
    """The console for stdout: rich keeps its hands off our text; NO_COLOR is its own affair."""
    # In a pipe nobody says how wide the reader is.
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def page_of(report: Report, console: Console) -> str:
    """The report as text with the console's colours, each line ended and none with blanks at its end in a pipe."""
    page = _Page(report, console)
    with console.capture() as captured:
        for part in page.parts():
            console.print() if part is None else console.print(Padding.indent(part, 1))
    text = captured.get()
    if not console.is_terminal:
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    return f"\n{text}\n"


class _Page:
    def __init__(self, report: Report, console: Console) -> None:
        self._report = report
        self._ascii = console.options.ascii_only
        rows = report.rows.known
        self._id_width = min(20, max([7, *(len(row.id) for row in rows)]))
        self._address_width = min(40, max([7, *(len(row.address) for row in rows), 16 if report.rows.lost else 0]))
        self._calls_width = max(5, len(f"{report.calls:,}"))
        # What the other columns leave, margins and gaps included.
        left = console.width - self._id_width - self._address_width - self._calls_width - 41
        self._bar = max(4, min(40, left))

    def parts(self) -> Iterable[Any]:
        """The page from top to bottom; None is an empty line."""
        report = self._report
        yield self._line((f"{report.question.policy}", "bold"), (" over ", ""), (report.question.target, "cyan"))
        yield None
        yield self._backends()
        yield None
        yield self._facts()
        yield None
        yield self._verdict()

    def _backends(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
        table.add_column("backend", width=self._id_width, no_wrap=True)
        table.add_column("address", width=self._address_width, no_wrap=True)
        table.add_column("calls", width=self._calls_width, justify="right", no_wrap=True)
        table.add_column("share", width=6, justify="right", no_wrap=True)
        table.add_column("", width=self._bar, no_wrap=True)
        for name in ("failed", "p50 ms", "p99 ms"):
            table.add_column(name, width=6, justify="right", no_wrap=True)
        rows = self._report.rows
        shown: list[Row | None] = list(rows.known)
        if len(shown) > MAX_ROWS:
            shown[MAX_ROWS - 4 : -4] = [None]
        for row in shown:
            if row is None:
                table.add_row("…", Text(self._fit(f"{len(rows.known) - MAX_ROWS:,} more"), style="dim"))
            else:
                self._add(table, row, row.id or _UNKNOWN, row.address)
        if rows.lost:
            self._add(table, rows.lost, "none", "no backend known", style="yellow")
        return table

    def _add(self, table: Table, row: Row, name: str, address: str, style: str = "") -> None:
        report = self._report
        share = report.share(row)
        failed = Text(f"{row.failed:,}", style="red" if row.failed else "dim")
        table.add_row(
            Text(self._fit(name), style=style or "bold"),
            Text(self._fit(address), style=style),
            f"{row.calls:,}",
            f"{share:.1%}",
            self._bar_of(share),
            failed,
            self._fit(milliseconds(row.latency, 50)),
            self._fit(milliseconds(row.latency, 99)),
        )

    def _bar_of(self, share: float) -> Text:
        """Longest for the largest share, so that unevenness is easy to see."""
        top = max((self._report.share(row) for row in self._report.rows.known), default=0.0)
        return Text(bar(share / top if top else 0.0, self._bar, ascii_only=self._ascii), style="green")

    def _facts(self) -> Table:
        report, run = self._report, self._report.run
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        table.add_row("asked", self._fit(asked(report.question.requested)))
        cut = f", {counted(run.abandoned, 'call')} cut off" if run.abandoned else ""
        ended = " (interrupted)" if run.stopped else ""
        done = f"{counted(report.calls, 'call')} in {duration(run.elapsed_s)}, {report.rate_per_s:,.0f}/s{cut}{ended}"
        table.add_row("done", self._fit(done))
        table.add_row("status", self._statuses())
        table.add_row("latency", self._fit(latency_line(report.latency)))
        warm_up = report.warm_up
        of = len(warm_up.connected) + len(warm_up.missing)
        connected = f"{len(warm_up.connected)} of {of} connected" if warm_up.missing else f"{of} connected"
        table.add_row("warm-up", self._fit(f"{connected} in {duration(warm_up.elapsed_s)}, not counted"))
        for number, event in enumerate(report.events[:8]):
            at = f"{event.at_s - run.begin_s:+.2f} s"
            table.add_row("" if number else "events", self._fit(f"{at}  {event.text}"))
        if len(report.events) > 8:
            table.add_row("", self._fit(f"… {len(report.events) - 8:,} more"))
        if report.answer is not None:
            table.add_row("answer", self._fit(_one_line(report.answer)))
        return table

    def _statuses(self) -> Text:
        text = Text()
        for number, (status, count) in enumerate(self._report.statuses.items()):
            text.append("  " if number else "")
            text.append(f"{status} {count:,}", style="green" if status == "OK" else "red")
        return text if self._report.statuses else Text(self._fit(_UNKNOWN))

    def _verdict(self) -> Table:
        verdict = self._report.verdict
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column()
        good = verdict.as_expected
        mark, style = ("✔", "bold green") if good else ("✘", "bold red") if good is False else ("·", "bold yellow")
        table.add_row(Text(self._fit(mark), style=style), Text(self._fit(verdict.sentence), style=style))
        table.add_row("", Text(self._fit(f"expected: {verdict.expected}"), style="dim"))
        for reason in verdict.reasons:
            table.add_row(Text(self._fit("·")), Text(self._fit(reason)))
        return table

    def _line(self, *pieces: tuple[str, str]) -> Text:
        return Text.assemble(*((self._fit(text), style) for text, style in pieces), overflow="fold")

    def _fit(self, text: str) -> str:
        return to_ascii(text) if self._ascii else text


def bar(part: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of `part` (0 to 1) of the width, to an eighth of a cell."""
    part = min(1.0, max(0.0, part))
    if ascii_only:
        return "#" * round(part * width)
    eighths = round(part * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


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
    return ", ".join([*pieces, f"deadline {duration(requested.get('deadline_s', 0.0))}"])


def _one_line(answer: Any) -> str:
    import json  # noqa: PLC0415 -- only where an answer is shown

    line = json.dumps(answer, ensure_ascii=False)
    return line if len(line) <= 400 else line[:399] + "…"
