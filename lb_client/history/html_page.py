"""The report as one page for a browser: charts, events, ledger, backends; no script, and nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from lb_client.history.chart import MARKS, consequence
from lb_client.history.html_style import STYLE
from lb_client.history.svg import Charts
from lb_client.ledger import words
from lb_client.phrases import counted, duration
from lb_client.report_table import asked, latency_line, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lb_client.history.history import History
    from lb_client.ledger.reconcile import Ledger
    from lb_client.report import Report


def html_of(report: Report) -> str:
    """The whole page. It repeats the report's JSON in an element `report`, for programs."""
    title = f"{report.question.policy} over {report.question.target}"
    # Nothing in there can end the element early.
    data = json.dumps(report.as_dict()).replace("<", "\\u003c").replace("&", "\\u0026")
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>lbdemo: {escape(title)}</title><style>{STYLE}</style></head><body>",
            *_head(report, title),
            *(_charts(report.history) if report.history is not None else ()),
            *_backends(report),
            *_ledger(report.history.ledger if report.history is not None else None),
            f'<script type="application/json" id="report">{data}</script></body></html>\n',
        ]
    )


def _head(report: Report, title: str) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p class="dim">{escape(asked(report.question.requested))}</p>'
    verdict = report.verdict
    mood = "good" if verdict.as_expected and not report.failed else "bad" if verdict.as_expected is False else ""
    yield f'<div class="verdict {mood}"><p>{escape(verdict.sentence)}</p>'
    yield from (f'<p class="dim">{escape(reason)}</p>' for reason in verdict.reasons)
    yield "</div>"
    ledger = None if report.history is None else report.history.ledger
    tiles = [
        ("calls", f"{report.calls:,}", False),
        ("failed", f"{report.failed:,}", report.failed > 0),
        *([("lost", f"{ledger.lost:,}", ledger.lost > 0)] if ledger is not None else []),
        ("calls per second", f"{report.rate_per_s:,.0f}", False),
        ("took", duration(report.run.elapsed_s), False),
        *((f"p{p}", duration(report.latency.percentile(p) or 0.0), False) for p in (50, 99)),
    ]
    yield '<div class="tiles">'
    for name, value, bad in tiles:
        yield f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
    yield f'</div><p class="dim">{escape(latency_line(report.latency))}</p>'


def _charts(history: History) -> Iterator[str]:
    charts = Charts(history)
    yield "<h2>Over time</h2>"
    yield '<div class="legend">'
    yield from (f'<span><i class="s{n}"></i>{escape(label)}</span>' for n, label in enumerate(charts.labels))
    yield f"</div>{charts.svg()}"
    if not history.happenings:
        return
    yield "<h2>Events</h2>"
    rows = [
        (
            happening.source,
            [
                MARKS[number] if number < len(MARKS) else "",
                f"{happening.at_s - history.begin_s:+.3f} s",
                happening.text + (f" ({happening.detail})" if happening.detail else ""),
                consequence(happening),
            ],
        )
        for number, happening in enumerate(history.shown)
    ]
    yield _table(("", "at", "what", "what came of it"), rows, classes=("mark", "at", "", ""))
    yield '<p class="dim">What the cluster says stands out; what this client saw of it is dim.</p>'


def _backends(report: Report) -> Iterator[str]:
    yield "<h2>Backends</h2>"
    found = [*report.rows.known, *([report.rows.lost] if report.rows.lost else [])]
    rows = [
        (
            "",
            [
                row.id or ("" if row.address else "none known"),
                row.address,
                f"{row.calls:,}",
                f"{report.share(row):.1%}",
                f"{row.failed:,}",
                milliseconds(row.latency, 50),
                milliseconds(row.latency, 99),
            ],
        )
        for row in found
    ]
    head = ("backend", "address", "calls", "share", "failed", "p50 ms", "p99 ms")
    yield _table(head, rows, classes=("", "", "n", "n", "n", "n", "n"))


def _ledger(ledger: Ledger | None) -> Iterator[str]:
    if ledger is None:
        return
    yield "<h2>Ledger</h2>"
    yield f"<p><b>{escape(words.balance(ledger))}</b></p><p>{escape(words.attempts(ledger))}</p>"
    yield f"<p>{escape(words.verdict(ledger))}</p>"
    if ledger.beyond:
        yield f"<p>{counted(ledger.beyond, 'call')} after these carried no name, and are not in the ledger.</p>"
    if ledger.fates:
        rows = [
            ("", [f"{number:,}", fate.status or "cut off", words.told(fate), fate.details])
            for fate, number in ledger.fates
        ]
        yield _table(("calls", "status", "what became of them", "details"), rows, classes=("n", "", "", ""))
    if ledger.replicas:
        yield "<h2>What each replica wrote down</h2>"
        rows = [
            (
                "",
                [line.replica, *(f"{value:,}" for value in (
                    line.processes, line.attempts, line.answered, line.errors, line.cancelled, line.open, line.taken
                ))],
            )
            for line in ledger.replicas
        ]  # fmt: skip
        head = (
            "replica",
            "processes",
            "attempts",
            "answered",
            "errors",
            "cancelled",
            "without an end",
            "calls ended by it",
        )
        yield _table(head, rows, classes=("", *["n"] * 7))


def _table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], *, classes: Sequence[str]) -> str:
    """A table; each row has a class of its own, each column too."""
    names = "".join(f'<th class="{kind}">{escape(name)}</th>' for name, kind in zip(head, classes, strict=True))
    body = "".join(
        f'<tr class="{row_class}">'
        + "".join(f'<td class="{kind}">{escape(cell)}</td>' for cell, kind in zip(cells, classes, strict=True))
        + "</tr>"
        for row_class, cells in rows
    )
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'
