"""Rows as a table for people. Arithmetic is done; here are only words and widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.benchmarks.figures import Spread
    from tests.benchmarks.row import Bound, Row, Side

_PIPE_WIDTH = 170
_COLORS = {"holds": "green", "MISSED": "bold red"}


def print_rows(rows: Iterable[Row]) -> None:
    """To stdout."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    for name, ratio in (("what", 5), ("inputs", 5), ("A", 3), ("B", 3), ("figure", 2), ("spread", 4)):
        table.add_column(name, ratio=ratio, overflow="fold")
    table.add_column("bound", no_wrap=True)
    table.add_column("", no_wrap=True)
    last = ""
    for row in rows:
        if last and row.benchmark != last:
            table.add_section()
        last = row.benchmark
        table.add_row(
            row.what + (f" ({row.note})" if row.note else ""),
            ", ".join(f"{key} {value}" for key, value in row.inputs.items()),
            side_text(row.a),
            side_text(row.b),
            quantity(row.figure, row.unit),
            spread_text(row.spread, row.unit),
            bound_text(row.bound, row.unit),
            Text(row.verdict, _COLORS.get(row.verdict, "")),
        )
    console.print(table)


def quantity(value: float, unit: str) -> str:
    """The value to three or four digits, with its unit."""
    return f"{number(value)} {unit}".rstrip()


def number(value: float) -> str:
    """Three digits after the point below ten, fewer above; whole numbers as they are."""
    if value == int(value):
        return f"{int(value):,}"
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 1000 else f"{value:,.0f}"


def side_text(side: Side | None) -> str:
    """`bare 0.61 ms`."""
    return f"{side.label}: {quantity(side.value, side.unit)}" if side else ""


def spread_text(spread: Spread | None, unit: str) -> str:
    """From the smallest to the largest, of how many; where the median is with 95 % confidence."""
    if spread is None:
        return ""
    text = f"{number(spread.low)} … {quantity(spread.high, unit)}, of {spread.count}"
    if spread.likely is not None:
        text += f"; 95 %: {number(spread.likely[0])} … {number(spread.likely[1])}"
    return text


def bound_text(bound: Bound | None, unit: str) -> str:
    """`≤ 25 ms`, `0.97 … 1.03`."""
    match bound:
        case None:
            return ""
        case _ if bound.low is None and bound.high is not None:
            return f"≤ {bound.high:g} {unit}".rstrip()
        case _ if bound.high is None and bound.low is not None:
            return f"≥ {bound.low:g} {unit}".rstrip()
        case _:
            return f"{bound.low:g} … {bound.high:g} {unit}".rstrip()


def as_json(rows: Iterable[Row], facts: dict[str, Any]) -> dict[str, Any]:
    """The whole run as one object."""
    return {**facts, "rows": [row.as_dict() for row in rows]}
