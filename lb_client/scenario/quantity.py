"""How much: lengths of time, shares and numbers as they are written, and comparisons with them. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lb_client.phrases import duration

_NUMBER = r"\d+(?:_?\d+)*(?:\.\d+)?|\.\d+"
_TIME = re.compile(rf"({_NUMBER})\s*(us|µs|ms|s|m)")
_UNITS_S = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_PLAIN = re.compile(_NUMBER)
_PERCENT = re.compile(rf"({_NUMBER})\s*%")
_BOUND = re.compile(r"(at most|at least|less than|more than|within|under|over|<=|>=|<|>|=|==)\s*(.+)")
_RANGE = re.compile(r"(.+?)\s+(?:to|-)\s+(.+)")
_AROUND = re.compile(r"(.+?)\s*(?:±|\+-|\+/-)\s*(.+)")
_BOUNDS = {"within": "at most", "<=": "at most", ">=": "at least", "under": "less than", "<": "less than",
           "over": "more than", ">": "more than"}  # fmt: skip

NUMBER, SHARE, TIME = "number", "share", "time"

EXAMPLES = {
    NUMBER: "0, at most 8, more than 100, 20 to 30",
    SHARE: "20%, at least 60%, 20% ± 2%, 30% to 40%",
    TIME: "at most 50ms, less than 1s, 1s to 2s",
}


def seconds(text: str) -> float | None:
    """`500ms`, `20s`, `2m` in seconds; None for what is no length of time. A unit is needed."""
    form = _TIME.fullmatch(text)
    if form is None:
        return 0.0 if text == "0" else None
    return float(form[1].replace("_", "")) * _UNITS_S[form[2]]


def number(text: str) -> float | None:
    """A number that is not negative; None for what is none."""
    return float(text.replace("_", "")) if _PLAIN.fullmatch(text) else None


def share(text: str) -> float | None:
    """`20%` or `0.2` as 0.2; None for what is neither."""
    if form := _PERCENT.fullmatch(text):
        return float(form[1].replace("_", "")) / 100
    return number(text)


_READ = {NUMBER: number, SHARE: share, TIME: seconds}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Between what and what a figure has to be.

    Attributes:
        text: As one reads it.
        low: The least; -inf for none.
        high: The most; inf for none.
        low_itself: Whether `low` itself will do.
        high_itself: Whether `high` itself will do.
    """

    text: str
    low: float = -math.inf
    high: float = math.inf
    low_itself: bool = True
    high_itself: bool = True

    def accepts(self, value: float) -> bool:
        """Whether the figure is as it has to be; the floats' own noise is none of the user's."""
        noise = 1e-9 * max(1.0, abs(value))
        above = value >= self.low - noise if self.low_itself else value > self.low + noise
        below = value <= self.high + noise if self.high_itself else value < self.high - noise
        return above and below

    @classmethod
    def parse(cls, text: str, unit: str) -> Comparison | None:
        """What is written, in seconds, in shares of 1 or as numbers; None where it makes no sense."""
        read = _READ[unit]
        if text == "none":
            return cls("none", 0.0, 0.0)
        if form := _BOUND.fullmatch(text):
            value = read(form[2])
            return None if value is None else cls._bound(_BOUNDS.get(form[1], form[1]), value, form[2])
        form = _AROUND.fullmatch(text) or _RANGE.fullmatch(text)
        if form is None:
            value = read(text)
            return None if value is None else cls(text, value, value)
        one, other = read(form[1]), read(form[2])
        if one is None or other is None:
            return None
        if _AROUND.fullmatch(text):
            return cls(f"{form[1]} ± {form[2]}", one - other, one + other)
        return cls(f"{form[1]} to {form[2]}", one, other) if one <= other else None

    @classmethod
    def _bound(cls, word: str, value: float, text: str) -> Comparison:
        match word:
            case "at most" | "less than":
                return cls(f"{word} {text}", high=value, high_itself=word == "at most")
            case "at least" | "more than":
                return cls(f"{word} {text}", low=value, low_itself=word == "at least")
        return cls(text, value, value)


def shown(value: float, unit: str) -> str:
    """A figure as one reads it."""
    if unit == TIME:
        return duration(value)
    if unit == SHARE:
        return f"{value:.1%}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
