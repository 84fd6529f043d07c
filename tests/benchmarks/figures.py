"""The benchmarks' arithmetic, pure: ratios, percentiles, how sure a median is, what a series grows by."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the values behind a figure lie apart.

    Attributes:
        count: How many there are.
        low: The smallest.
        high: The largest.
        likely: With 95 % confidence their true median is in here; None where the figure is no median.
    """

    count: int
    low: float
    high: float
    likely: tuple[float, float] | None = None

    @classmethod
    def of(cls, values: Sequence[float], *, of_median: bool = False) -> Spread:
        """Of at least one value."""
        return cls(len(values), min(values), max(values), median_interval(values) if of_median else None)


def paired_ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Of each round A over B: what slows a whole round slows both and leaves the ratio alone."""
    return [one / other for one, other in zip(a, b, strict=True)]


def rotated(sides: Sequence[str], number: int) -> list[str]:
    """The sides in turn, forwards and backwards, and then beginning with another one.

    Each comes first as often as any other, and none always after the same one, in whose wake its caches are.
    """
    first = number // 2 % len(sides)
    order = [*sides[first:], *sides[:first]]
    return order[::-1] if number % 2 else order


def percentile(values: Iterable[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value with at least `percent` % of all at or below it."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(percent / 100 * len(ordered))) - 1]


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Two of the values between which the true median lies, with at least this confidence, whatever the distribution.

    Each independent value is below the true median with probability ½, so the number below it is binomial. With fewer
    than six values 95 % cannot be had: it is the smallest and the largest then.
    """
    ordered = sorted(values)
    count = len(ordered)
    # cut: how many values on either side can be left out.
    below, cut = 0, 0
    while cut < (count - 1) // 2 and 2 * (below + math.comb(count, cut)) <= (1 - confidence) * 2**count:
        below += math.comb(count, cut)
        cut += 1
    # The interval runs between the ranks cut and count + 1 - cut, counted from 1; rank 0 does not exist.
    cut = max(cut, 1)
    return ordered[cut - 1], ordered[count - cut]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """What y grows by when x grows by one: the least-squares line through the points."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope


def random_counts(rng: random.Random, number: int, most: int) -> list[int]:
    """So many whole numbers from 1 to `most`; small ones are as likely as large ones, by their logarithm."""
    return [min(most, int(math.exp(rng.uniform(0, math.log(most + 1))))) for _ in range(number)]


def first_answer_after(at_s: float, calls: Iterable[tuple[float, float]]) -> float | None:
    """Seconds from `at_s` until the first of the (start, end) calls had ended; None when there is none after it."""
    ends = [end for _, end in calls if end >= at_s]
    return min(ends) - at_s if ends else None


def last_answer_after(at_s: float, calls: Iterable[tuple[float, float]], *, until_s: float = math.inf) -> float:
    """Seconds from `at_s` until the last of the (start, end) calls that began before `until_s` had ended.

    0.0 when all had ended before `at_s`: nobody was called too late.
    """
    return max([0.0, *(end - at_s for start, end in calls if start < until_s)])
