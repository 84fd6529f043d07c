"""The nouns of a benchmark's outcome: Row, Side, Bound. Plain data; how it is shown is table.py's matter."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.figures import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What the figure should be within, both ends included; None leaves an end open."""

    low: float | None = None
    high: float | None = None

    def holds(self, figure: float) -> bool:
        """Whether the figure, unrounded, is within."""
        return (self.low is None or self.low <= figure) and (self.high is None or figure <= self.high)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sides of a ratio: what it is, and its typical value in the row's words."""

    label: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure, with everything needed to judge it.

    Attributes:
        benchmark: The name under which it can be run alone.
        what: What was measured.
        inputs: Counts, concurrency, rounds: all that was chosen.
        a: The side that is ours, where there are two.
        b: The other one.
        figure: What the bound is for.
        unit: Of the figure and its spread; "" for a plain ratio.
        spread: Of the values behind the figure.
        bound: From the issue; None for what is only told.
        note: What else the reader should know, in a few words.
    """

    benchmark: str
    what: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    a: Side | None = None
    b: Side | None = None
    figure: float
    unit: str = ""
    spread: Spread | None = None
    bound: Bound | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`holds` or `MISSED`; "" without a bound."""
        if self.bound is None:
            return ""
        return "holds" if self.bound.holds(self.figure) else "MISSED"

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "inputs": dict(self.inputs), "verdict": self.verdict or None}
