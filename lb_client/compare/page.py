"""A comparison as a page: one table, whether the counts agree, and what it means. Pure; words for words.py."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from lb_client.compare.tally import cause, counts_text, spread_text
from lb_client.compare.words import explanation
from lb_client.paper import BOLD, DIM, GREEN, RED, YELLOW
from lb_client.phrases import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lb_client.compare.result import Comparison, Walked
    from lb_client.paper import Paper

_NONE = "—"
_MAX_DIFFERENCES = 6
# (title, unit below it, whether to the right)
_COLUMNS: tuple[tuple[str, str, bool], ...] = (
    ("way", "", False),
    ("hops", "", True),
    ("calls", "", False),
    ("streams", "", False),
    ("verdict", "", False),
    ("p50", "ms", True),
    ("p99", "ms", True),
    ("calls", "/s", True),
    ("conns", "", False),
    ("client", "CPU µs", True),
    ("proxy", "a", True),
    ("both", "call", True),
)
_KEY = 0
_FIRST_OF_SECOND = 5  # where a table that is too wide is parted: who got what, then what it cost
_VERDICT = 4
Row = tuple[str, ...]


def page_of(comparison: Comparison, paper: Paper) -> str:
    """The comparison as text, with an empty line before and after it."""
    lines = ["", *_title(comparison, paper), "", *_table(comparison, paper), "", *_agreement(comparison, paper), ""]
    lines += [*_wrapped(explanation(comparison), paper), ""]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _title(comparison: Comparison, paper: Paper) -> Iterator[str]:
    asked = comparison.requested
    yield from (
        paper.paint(line, BOLD) for line in _wrapped(f"{len(comparison.ways)} ways to {comparison.target}", paper)
    )
    load = (
        f"each with {counted(asked['count'], 'call')}, {asked['concurrency']:,} at a time, then "
        f"{counted(asked['streams'], 'stream')} at once with {counted(asked['messages'], 'message')} each; "
        f"deadline {duration(asked['deadline_s'])}; Envoy {comparison.envoy}, 1 worker"
    )
    yield from (paper.paint(line, DIM) for line in _wrapped(load, paper))
    names = list(comparison.replicas.values())
    if len(names) <= 6:
        yield from (paper.paint(line, DIM) for line in _wrapped(f"counts are those of {'/'.join(names)}", paper))


def _table(comparison: Comparison, paper: Paper) -> Iterator[str]:
    rows = [_row(comparison, walked) for walked in comparison.ways]
    good = [spread_text(comparison.named(walked.calls.by_address))[1] for walked in comparison.ways]
    everything = list(range(len(_COLUMNS)))
    if sum(_widths(rows, everything)) + 2 * len(everything) <= paper.width:
        yield from _part(rows, everything, good, paper)
        return
    yield from _part(rows, everything[:_FIRST_OF_SECOND], good, paper)
    yield ""
    yield from _part(rows, [_KEY, *everything[_FIRST_OF_SECOND:]], good, paper)


def _part(rows: Sequence[Row], columns: Sequence[int], good: Sequence[bool], paper: Paper) -> Iterator[str]:
    widths = _widths(rows, columns)
    for heads in ([_COLUMNS[column][0] for column in columns], [_COLUMNS[column][1] for column in columns]):
        if any(heads):
            yield paper.paint(paper.fit(_line(heads, columns, widths)), DIM)
    for row, even in zip(rows, good, strict=True):
        cells = []
        for column, width in zip(columns, widths, strict=True):
            cell = _aligned(paper.fit(row[column]), width, right=_COLUMNS[column][2])
            styles = {_KEY: (BOLD,), _VERDICT: (GREEN if even else YELLOW,)}.get(column, ())
            cells.append(paper.paint(cell, *styles))
        yield " " + "  ".join(cells)


def _line(cells: Sequence[str], columns: Sequence[int], widths: Sequence[int]) -> str:
    pieces = zip(cells, columns, widths, strict=True)
    return " " + "  ".join(_aligned(cell, width, right=_COLUMNS[column][2]) for cell, column, width in pieces)


def _aligned(text: str, width: int, *, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _widths(rows: Sequence[Row], columns: Sequence[int]) -> list[int]:
    return [max(len(text) for text in (*_COLUMNS[c][:2], *(row[c] for row in rows))) for c in columns]


def _row(comparison: Comparison, walked: Walked) -> Row:
    calls, streams = walked.calls, walked.streams
    spread = comparison.named(calls.by_address)
    return (
        walked.way.title,
        str(walked.way.hops),
        counts_text(spread.values()) + (f" ({calls.failed:,} failed)" if calls.failed else ""),
        counts_text(comparison.named(streams.by_address).values())
        + (f" ({streams.failed:,} failed)" if streams.failed else ""),
        spread_text(spread)[0],
        _figure(calls.latency_ms.get("p50"), 2),
        _figure(calls.latency_ms.get("p99"), 1),
        _figure(calls.rate_per_s, 0),
        counts_text(comparison.named(walked.connections).values()),
        _figure(calls.cpu_us(calls.client_cpu_s), 0),
        _figure(calls.cpu_us(calls.proxy_cpu_s), 0),
        _figure(calls.cpu_us_together, 0),
    )


def _figure(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:,.{digits}f}"


def _agreement(comparison: Comparison, paper: Paper) -> Iterator[str]:
    """Whether all who counted agree, and where they do not."""
    different = comparison.differences()
    if not different:
        mark = paper.paint("+" if paper.ascii_only else "✔", GREEN)
        yield from _wrapped(f"Counted three ways, and all agree: {_counted(comparison)}.", paper, first=f" {mark} ")
    else:
        mark = paper.paint("!" if paper.ascii_only else "✘", RED)
        yield from _wrapped(f"The counts do not agree. {cause(different)}.", paper, first=f" {mark} ")
        yield from _differences(different, paper)
    for walked in comparison.ways:
        for what in (*walked.calls.failures, *walked.streams.failures):
            yield from _wrapped(f"{walked.way.title}: failed with {what}", paper, first="   ", style=RED)


def _differences(different: Mapping[str, tuple[str, ...]], paper: Paper) -> Iterator[str]:
    lines = [f"{way}: {line}" for way, found in different.items() for line in found]
    for line in lines[:_MAX_DIFFERENCES]:
        yield from _wrapped(line, paper, first="   ", style=YELLOW)
    if len(lines) > _MAX_DIFFERENCES:
        yield f"   and {len(lines) - _MAX_DIFFERENCES:,} more; --json has them all"


def _counted(comparison: Comparison) -> str:
    """Who agrees on how much."""
    calls = sum(sum(walked.calls.by_address.values()) for walked in comparison.ways)
    streams = sum(sum(walked.streams.by_address.values()) for walked in comparison.ways)
    messages = sum(walked.streams.done for walked in comparison.ways)
    balanced = sum(
        group[-1].total
        for walked in comparison.ways
        for group in (*walked.calls.tallies, *walked.streams.tallies)
        if group[-1].who == "Envoy" and group[-1].what != "connection"
    )
    return (
        f"{counted(calls, 'call')}, {counted(streams, 'stream')} and {counted(messages, 'message')} by the clients and "
        f"by the replicas, replica by replica; of these {balanced:,} by Envoy, which balanced them, and its connections"
    )


def _wrapped(text: str, paper: Paper, *, first: str = " ", style: str = "") -> Iterator[str]:
    width = max(40, min(paper.width, 110)) - 3
    lines = textwrap.wrap(paper.fit(text), width, break_on_hyphens=False) or [""]
    indent = "   " if first.strip() else first
    for number, line in enumerate(lines):
        yield (indent if number else first) + (paper.paint(line, style) if style else line)
